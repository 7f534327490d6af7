"""The names of the domain's values in the reader's language; lazy, so one table serves every request."""

from collections.abc import Mapping

from collector.tickets.ticket import Kind, Level, Source, Status
from web.translate import gettext, lazy_pgettext
from web.translate import lazy_gettext as _

STATUS: Mapping[Status, object] = {
    Status.NEW: _("new"),
    Status.IN_PROGRESS: _("in progress"),
    Status.WAITING_REQUESTER: _("waiting for requester"),
    Status.WAITING_PART: _("waiting for part"),
    Status.WAITING_VENDOR: _("waiting for vendor"),
    Status.RESOLVED: _("resolved"),
    Status.CLOSED: _("closed"),
}
# The pill's class: shape beside colour is the style sheet's.
PILL: Mapping[Status, str] = {
    Status.NEW: "new",
    Status.IN_PROGRESS: "",
    Status.WAITING_REQUESTER: "wait",
    Status.WAITING_PART: "wait",
    Status.WAITING_VENDOR: "wait",
    Status.RESOLVED: "done",
    Status.CLOSED: "done",
}
KIND: Mapping[Kind, object] = {
    Kind.INCIDENT_MONITORING: _("incident from monitoring"),
    Kind.INCIDENT_PERSON: _("incident"),
    Kind.REQUEST: _("request"),
}
SOURCE: Mapping[Source, object] = {
    Source.MONITORING: _("monitoring"),
    Source.ALERTMANAGER: _("Alertmanager"),
    Source.PHONE: _("phone"),
    Source.EMAIL: _("e-mail"),
    Source.CHAT: _("chat"),
    Source.PORTAL: _("portal"),
    Source.API: _("API"),
}
IMPACT: Mapping[Level, object] = {
    Level.HIGH: _("high: many people or a whole site"),
    Level.MEDIUM: _("medium: a few people"),
    Level.LOW: _("low: one person"),
}
URGENCY: Mapping[Level, object] = {
    Level.HIGH: _("high: work has stopped"),
    Level.MEDIUM: _("medium: work is hindered"),
    Level.LOW: _("low: it can wait"),
}
LEVEL: Mapping[Level, object] = {Level.HIGH: _("high"), Level.MEDIUM: _("medium"), Level.LOW: _("low")}
URGENCY_LEVEL: Mapping[Level, object] = {
    Level.HIGH: lazy_pgettext("urgency", "high"),
    Level.MEDIUM: lazy_pgettext("urgency", "medium"),
    Level.LOW: lazy_pgettext("urgency", "low"),
}
ROLE: Mapping[str, object] = {"technician": _("technician"), "admin": _("administrator")}
CLASS: Mapping[str, object] = {
    "server": _("server"),
    "workstation": _("workstation"),
    "laptop": _("laptop"),
    "kiosk": _("kiosk"),
}
PRESENCE: Mapping[str, object] = {
    "online": _("online"),
    "away_planned": _("away, planned"),
    "away_unexplained": _("away, unexplained"),
    "catching_up": _("catching up"),
    "unknown": _("not known now"),
    "never_seen": _("never seen"),
    "retired": _("retired"),
}
# Why a computer is away, or why nobody can tell; the keys are the agent's and the collector's words.
ABSENCE: Mapping[str, object] = {
    "shutdown": _("switched off"),
    "reboot": _("restarting"),
    "sleep": _("asleep"),
    "hibernate": _("hibernated"),
    "agent_stop": _("its agent was stopped"),
    "agent_upgrade": _("its agent is being upgraded"),
    "user_pause": _("paused by its user"),
    "silent": _("silent"),
    "collector started": _("the collector has just started"),
    "site outage": _("its whole site is silent"),
    "wide outage": _("many computers are silent together"),
    "others returned": _("the others are back"),
}
VIEW: Mapping[str, object] = {
    "mine": _("Mine"),
    "unassigned": _("Unassigned"),
    "waiting": _("Waiting"),
    "all": _("All open"),
    "closed": _("Closed"),
}
QUEUE: Mapping[str, object] = {"helpdesk": _("Helpdesk"), "service desk": _("Service desk")}


def absence(reason: str) -> str:
    """A reason in the reader's language; "not back after" one too."""
    before, found, rest = reason.partition("not back after ")
    if found and not before:
        return gettext("not back in time: %(reason)s", reason=str(ABSENCE.get(rest, rest)))
    return str(ABSENCE.get(reason, reason))


def queue_name(name: str) -> str:
    """A queue's name: ours translated, a department's own as it is."""
    return str(QUEUE.get(name, name))


def queue_key(name: str) -> str:
    """The stored name of a queue from what a person chose or typed."""
    typed = " ".join(name.split())
    return next((key for key, shown in QUEUE.items() if typed.casefold() in {key, str(shown).casefold()}), typed)
