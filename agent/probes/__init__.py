"""The probes: one subject, one file; `read` touches the host, `samples` is pure. Here is the list of them."""

import sys
from functools import partial
from typing import Any

from agent.probes import (
    bonding,
    conntrack,
    cpu,
    disk,
    edac,
    filefd,
    filesystem,
    host,
    hwmon,
    link,
    load,
    mdstat,
    memory,
    network,
    own,
    pids,
    power,
    pressure,
    process,
    reboot,
    service,
    stat,
    textfile,
    timex,
    vmstat,
)
from agent.probes.errors import MalformedError, NoDataError, ProbeError
from agent.probes.probe import Kernel, Probe, ProbeSettings, WatchedProcess, excluder

__all__ = [
    "AnyProbe",
    "Kernel",
    "MalformedError",
    "NoDataError",
    "Probe",
    "ProbeError",
    "ProbeSettings",
    "WatchedProcess",
    "elsewhere",
    "linux",
    "probes",
]

# What a probe reads is between its own two functions.
AnyProbe = Probe[Any]


def probes(settings: ProbeSettings) -> tuple[AnyProbe, ...]:
    """The probes of this system, in the order of the page, under node_exporter's names for what it has too.

    Make them once and keep them: some remember things between rounds.
    """
    return linux(settings) if sys.platform == "linux" else elsewhere(settings)


def linux(settings: ProbeSettings) -> tuple[AnyProbe, ...]:
    """From /proc and /sys."""
    procfs, sysfs, kernel = settings.procfs, settings.sysfs, settings.kernel
    unwatched_network = excluder(settings.networks_excluded)
    return (
        Probe("agent", own.reader(), own.samples),
        Probe("bonding", partial(bonding.read, sysfs), bonding.samples),
        Probe("conntrack", partial(conntrack.read, procfs), conntrack.samples),
        Probe("cpu", partial(cpu.read, procfs, sysfs, kernel.ticks_per_second), cpu.samples),
        Probe("diskstats", partial(disk.read, procfs, excluder(settings.disks_excluded)), disk.samples),
        Probe("edac", partial(edac.read, sysfs), edac.samples),
        Probe("filefd", partial(filefd.read, procfs), filefd.samples),
        Probe("filesystem", filesystem.Filesystems(settings).read, filesystem.samples),
        Probe("host", partial(host.read, procfs, settings.rootfs, kernel), host.samples),
        Probe("hwmon", partial(hwmon.read, sysfs), hwmon.samples),
        Probe("loadavg", partial(load.read, procfs), load.samples),
        Probe("mdadm", partial(mdstat.read, procfs), mdstat.samples),
        Probe("meminfo", partial(memory.read, procfs), memory.samples),
        Probe("netclass", partial(link.read, sysfs, unwatched_network), link.samples),
        Probe("netdev", partial(network.read, procfs, unwatched_network), network.samples),
        Probe("powersupplyclass", partial(power.read, sysfs), power.samples),
        Probe("pressure", partial(pressure.read, procfs), pressure.samples),
        Probe("process", process.ProcessTable(settings).read, process.samples),
        Probe("processes", partial(pids.read, procfs), pids.samples),
        Probe("reboot", partial(reboot.read, settings.rootfs), reboot.samples),
        Probe("stat", partial(stat.read, procfs), stat.samples),
        *_systemd(settings),
        Probe("timex", kernel.adjtimex, timex.samples),
        Probe("vmstat", partial(vmstat.read, procfs), vmstat.samples),
        # The last: a file can never say something else about what the agent itself has read.
        Probe("textfile", textfile.Textfiles(settings.textfiles).read, textfile.samples),
    )


def elsewhere(settings: ProbeSettings) -> tuple[AnyProbe, ...]:
    """From psutil, on every other system."""
    unwatched_network = excluder(settings.networks_excluded)
    mounts = filesystem.Filesystems(settings, filesystem.elsewhere)
    windows = (Probe("service", partial(service.read_windows, settings.services), service.samples),)
    return (
        Probe("agent", own.reader(), own.samples),
        Probe("cpu", cpu.read_elsewhere, cpu.samples),
        Probe("diskstats", partial(disk.read_elsewhere, excluder(settings.disks_excluded)), disk.samples),
        Probe("filesystem", mounts.read, filesystem.samples),
        Probe("host", partial(host.read_elsewhere, settings.rootfs, settings.kernel), host.samples),
        Probe("loadavg", load.read_elsewhere, load.samples),
        Probe("meminfo", memory.read_elsewhere, memory.samples),
        Probe("netclass", partial(link.read_elsewhere, unwatched_network), link.samples),
        Probe("netdev", partial(network.read_elsewhere, unwatched_network), network.samples),
        Probe("process", process.reader_elsewhere(settings), process.samples),
        *(windows if settings.services else ()),
        Probe("stat", stat.read_elsewhere, stat.samples),
    )


def _systemd(settings: ProbeSettings) -> tuple[AnyProbe, ...]:
    if not settings.services:
        return ()
    # Imported here: jeepney does not exist elsewhere, and costs memory where no service is watched.
    from agent.probes.systemd import Units  # noqa: PLC0415

    return (Probe("systemd", Units(settings.services).read, service.samples),)
