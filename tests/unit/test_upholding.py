"""What is allowed is asked before a whisper, and goes on being asked while it lasts."""

import pytest

from bridge.errors import ActionForbidden, ApiError, SendCallToInvalid, ViewInvalid
from bridge.service import Rules
from bridge.whisper import Reason
from tests.support.directory import TEXT, instead, saying
from tests.support.happenings import (
    RINGING,
    UP,
    enters,
    hung_up,
    leaves,
    leg,
    listed,
    renamed,
    seen,
    talk,
)
from tests.support.scene import AGENT_LEG, CUSTOMER, scene
from tests.support.timing import in_virtual_time, settle

COLLEAGUE_LEG = leg("0003*211", "1.7", "1.1", state=UP)
RULE = """
[[supervision]]
supervisors = ["0003*025"]
targets = ["0003*2."]
actions = ["whisper"]
"""


PROTECTED = saying('number = "0003*210"', "protected = true")
NO_WHISPER = saying('client_id = "lab-app"', 'actions = ["list", "monitor"]')
NO_APP = instead('client_id = "lab-app"', 'client_id = "other-app"')
NO_SUPERVISOR = instead('number = "0003*024"', 'number = "0003*029"')
NO_AGENT = instead('number = "0003*210"', 'number = "0003*219"')
ANOTHERS = NO_AGENT.replace(
    'number = "0003*219"', 'number = "0003*219"\nendpoint = "PJSIP/0003*210"'
)
QUEUE = saying('number = "0003*024"', 'type = "queue"')
NARROWER = instead('reach = "organization"', 'reach = "user"').replace(
    'number = "0003*210"\nuser = "12"', 'number = "0003*210"\nuser = "24"'
)


# Before


@pytest.mark.parametrize(
    ("directory", "error", "said"),
    [
        (PROTECTED, ViewInvalid, "The extension is protected"),
        (NO_WHISPER, ActionForbidden, ActionForbidden.default),
        (TEXT + RULE, SendCallToInvalid, "The extension of sendCallTo may not do this"),
        (QUEUE, SendCallToInvalid, "sendCallTo must be a phone terminal"),
        (NO_SUPERVISOR, SendCallToInvalid, SendCallToInvalid.default),
    ],
)
@in_virtual_time
async def test_what_the_directory_forbids_rings_nobody(
    directory: str, error: type[ApiError], said: str
) -> None:
    async with scene() as now:
        call = now.talk()
        now.reads(directory)
        with pytest.raises(error) as raised:
            await now.whisper(call, who=now.principal())
        assert raised.value.message.startswith(said)
        assert now.pbx.of("Originate") == []


@in_virtual_time
async def test_nobody_hears_a_protected_extension_through_the_one_it_talks_to() -> None:
    async with scene() as now:
        now.reads(saying('number = "0003*211"', "protected = true"))
        now.feed(*talk(COLLEAGUE_LEG._replace(uniqueid="1.1", linkedid="1.1"), AGENT_LEG))
        (call,) = now.service.picture.calls()
        with pytest.raises(ViewInvalid, match="takes part in the call is protected"):
            await now.whisper(call.id, phoneCallViewId="02")
        assert now.pbx.of("Originate") == []


@in_virtual_time
async def test_the_errors_come_in_the_order_of_the_specification() -> None:
    """The action first, the view before the other fields, sendCallTo last."""
    async with scene() as now:
        call = now.talk()
        now.reads(PROTECTED)
        with pytest.raises(ViewInvalid):
            await now.whisper(call, private=7, sendCallTo="nobody")
        now.reads(NO_WHISPER)
        with pytest.raises(ActionForbidden):
            await now.whisper("nothing", who=now.principal(), phoneCallViewId="99")


# While it lasts

ENDING = [
    pytest.param(PROTECTED, "the extension is protected", id="protected"),
    pytest.param(NO_WHISPER, "the app does not have the action", id="action taken away"),
    pytest.param(NO_APP, "its app is gone from the directory", id="app gone"),
    pytest.param(NARROWER, "the extension is outside the app's reach", id="reach narrower"),
    pytest.param(TEXT + RULE, "no rule of the organization lets the supervisor", id="a rule"),
    pytest.param(QUEUE, "the supervisor is no phone", id="supervisor a queue"),
    pytest.param(NO_SUPERVISOR, "its supervisor is gone from the directory", id="supervisor gone"),
    pytest.param(NO_AGENT, "its target is another extension's now", id="target gone"),
    pytest.param(ANOTHERS, "its target is another extension's now", id="target changed hands"),
]
KEEPING = [
    pytest.param(TEXT, id="nothing new"),
    pytest.param(TEXT + RULE.replace("025", "024"), id="a rule that admits it"),
    pytest.param(saying('number = "0003*211"', "protected = true"), id="somebody else protected"),
    pytest.param(saying('number = "0003*024"', "protected = true"), id="the supervisor protected"),
    pytest.param(instead("Supervisor 024", "Supervisor Zoe"), id="another name"),
]


@pytest.mark.parametrize(("directory", "said"), ENDING)
@in_virtual_time
async def test_a_whisper_that_is_not_allowed_any_more_is_ended(
    directory: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene() as now:
        call = now.talk()
        spy = await now.attached(call)
        now.reads(directory)
        await settle()
        assert now.pbx.hung_up() == [spy.uniqueid]
        session = now.session(spy)
        assert session is not None
        assert session.verdict is Reason.FORBIDDEN
        assert f"{spy.uniqueid} is not allowed any more: {said}" in caplog.text
        assert ("02", "0003*024") not in now.views(call)
        now.feed(hung_up(spy))
        assert now.session(spy) is None


@pytest.mark.parametrize("directory", KEEPING)
@in_virtual_time
async def test_a_whisper_that_is_still_allowed_goes_on_and_stays_the_same(directory: str) -> None:
    async with scene() as now:
        call = now.talk()
        spy = await now.attached(call)
        now.reads(directory)
        await now.whisper(call, who=now.principal())
        assert len(now.pbx.of("Originate")) == 1
        assert now.pbx.hung_up() == []
        assert now.session(spy) is not None
        assert now.views(call) == [("01", "7778888"), ("02", "0003*024")]


@in_virtual_time
async def test_a_phone_that_rings_for_what_is_not_allowed_any_more_stops_ringing() -> None:
    async with scene() as now:
        spy = await now.ringing(now.talk())
        now.feed(seen(spy, RINGING))
        now.reads(PROTECTED)
        await settle()
        assert now.pbx.hung_up() == [spy.uniqueid]


@in_virtual_time
async def test_who_waits_for_what_is_not_allowed_any_more_is_told() -> None:
    async with scene() as now:
        asked = await now.requested(now.talk())
        now.reads(PROTECTED)
        with pytest.raises(ActionForbidden, match="The directory was changed"):
            await asked.task
        now.feed(seen(asked.leg))
        await settle()
        assert asked.leg.uniqueid in now.pbx.hung_up()


@pytest.mark.parametrize("protected", [True, False])
@in_virtual_time
async def test_a_whisper_ends_when_somebody_protected_joins_the_call(*, protected: bool) -> None:
    async with scene() as now:
        call = now.talk()
        spy = await now.attached(call)
        if protected:
            now.reads(saying('number = "0003*211"', "protected = true"))
        now.feed(seen(COLLEAGUE_LEG), enters(COLLEAGUE_LEG, "bridge"))
        await settle()
        assert now.pbx.hung_up() == ([spy.uniqueid] if protected else [])


@in_virtual_time
async def test_following_a_target_does_not_lead_to_somebody_protected() -> None:
    async with scene(Rules("lab", follow_target=True)) as now:
        now.reads(saying('number = "0003*211"', "protected = true"))
        spy = await now.attached(now.talk())
        now.feed(leaves(CUSTOMER, "bridge"), hung_up(CUSTOMER))
        assert now.pbx.hung_up() == []
        now.feed(seen(COLLEAGUE_LEG), enters(COLLEAGUE_LEG, "bridge"))
        await settle()
        assert now.pbx.hung_up() == [spy.uniqueid]


@in_virtual_time
async def test_a_whisper_ends_when_its_target_becomes_anothers_phone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        spy = await now.attached(now.talk())
        now.feed(renamed(AGENT_LEG, "PJSIP/0003*210-0000000a"))
        await settle()
        assert now.pbx.hung_up() == []
        now.feed(renamed(AGENT_LEG, "PJSIP/0003*211-0000000b"))
        await settle()
        assert now.pbx.hung_up() == [spy.uniqueid]
        assert "its target is another extension's now" in caplog.text


@in_virtual_time
async def test_a_whisper_ends_when_the_other_side_becomes_somebody_protected() -> None:
    async with scene() as now:
        now.reads(saying('number = "0003*211"', "protected = true"))
        spy = await now.attached(now.talk())
        now.feed(renamed(CUSTOMER, "PJSIP/0003*211-0000000b"))
        await settle()
        assert now.pbx.hung_up() == [spy.uniqueid]


@pytest.mark.parametrize(("directory", "ends"), [(PROTECTED, True), (NO_APP, True), (TEXT, False)])
@in_virtual_time
async def test_what_was_forbidden_during_a_gap_ends_after_it(directory: str, *, ends: bool) -> None:
    async with scene() as now:
        spy = await now.attached(now.talk())
        now.service.on_lost()
        now.pbx.lose("Hangup")
        now.reads(directory)
        await settle()
        now.pbx.replies.clear()
        tried = len(now.pbx.hung_up())
        spying = listed(spy._replace(state=UP), application="ChanSpy", data="1.2,uqwES", age=9)
        now.restored(*now.listing(spying))
        await settle()
        assert now.pbx.hung_up()[tried:] == ([spy.uniqueid] if ends else [])
