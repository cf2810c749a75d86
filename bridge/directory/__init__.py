"""Who exists and who may do what: organizations, users, extensions, apps and their reach.

The directory is one TOML document. What was read from it never changes, it is replaced whole::

    [[organizations]]
    id = "3"
    name = "Default Organization"
    prefix = "0003"
    notice = "beep"                         # tells its people that somebody listens; default none

    [[users]]
    id = "12"
    organization = "3"

    [[extensions]]
    number = "0003*210"
    user = "12"
    type = "phone"                          # the default; see model.ExtensionType
    endpoint = "PJSIP/0003*210"             # the default: PJSIP and the number
    caller_id = "Agent 210 <0003*210>"      # default: no name, and the number
    protected = true                        # nobody may listen in; default false
    auto_answer = "yealink"                 # its phone picks up by itself; see auto_answer

    [[discovery]]                           # extensions that need no line of their own
    endpoint = "PJSIP/0003*{number}"
    numbers = ["2XX"]                       # short ones; see patterns
    user = "12"                             # and type, caller_id, … as above

    [[apps]]
    client_id = "my-app"
    client_secret_hash = "$argon2id$..."    # what whisper-bridge hash-secret prints
    user = "12"
    reach = "organization"                  # user (the default), organization or system
    actions = ["list", "whisper"]           # the default; and monitor, barge, hangup

    [[supervision]]                         # without any: every phone of an organization may
    supervisors = ["0003*024", "user:24"]
    targets = ["0003*2XX"]                  # see patterns
    actions = ["whisper", "monitor"]        # default: these and barge
"""

from bridge.directory.extensions import Named
from bridge.directory.lookup import Directory, DirectoryError
from bridge.directory.policy import Decision, Refusal

__all__ = ["Decision", "Directory", "DirectoryError", "Named", "Refusal"]
