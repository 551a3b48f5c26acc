"""`ledgerlift-server doctor`: looks at what a server with these settings would meet, and says what to do about it.

Everything is looked at side by side, on threads of its own, and nothing waits for longer than the time limit: what
hangs is a row that says so. Nothing is changed, but for an object of the store that is removed again.
"""

from ledgerlift_server.doctor.checks import checks
from ledgerlift_server.doctor.examination import examine
from ledgerlift_server.doctor.findings import Finding, State
from ledgerlift_server.doctor.report import as_json, as_table

__all__ = ["Finding", "State", "as_json", "as_table", "checks", "examine"]
