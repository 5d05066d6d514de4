"""What real drives are like: small figures derived from two public data sets, and how to derive them anew.

Sources: 66,776 smartctl reports of linuxhw/EnterpriseDrive (CC-BY-4.0): mix of models, rates of first errors per
power-on hour, spread of those rates over model and firmware. 18,387 failure tickets of about a million SSDs published
with "An In-Depth Study of Correlated Failures in Production SSD-Based Data Centers" (FAST'21): rate of losses, and how
many of them come with another one on the same node.
"""

import csv
import gzip
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_MOST_HOURS = 150_000
_ERRORS = ("a5", "a187", "a197", "a198", "nvme_media_errors")


@dataclass(frozen=True, slots=True)
class RealDrives:
    """Figures of real drives.

    Attributes:
        model_shares: of the most frequent models with firmware, largest first.
        rate_shape: gamma shape of the error rates over models and firmware.
        lost_per_hour: drives that fail for good.
        media_per_hour: drives that show their first media error.
        link_per_hour: drives that show their first interface error.
        health_per_hour: drives that begin to predict their failure.
        same_node: share of failures that come within a day of another on the same node.
    """

    model_shares: tuple[float, ...] = (
        0.0308, 0.0212, 0.0205, 0.0166, 0.0136, 0.0132, 0.0124, 0.0103, 0.0094, 0.0093, 0.0091, 0.0086, 0.0068, 0.0063,
        0.0063, 0.0059, 0.0054, 0.0053, 0.0052, 0.0051, 0.0051, 0.0050, 0.0050, 0.0046, 0.0046, 0.0045, 0.0044, 0.0044,
        0.0041, 0.0040, 0.0040, 0.0039, 0.0037, 0.0037, 0.0036, 0.0035, 0.0034, 0.0034, 0.0033, 0.0032,
    )  # fmt: skip
    rate_shape: float = 0.58
    lost_per_hour: float = 1.05e-6
    media_per_hour: float = 3.5e-6
    link_per_hour: float = 1.6e-6
    health_per_hour: float = 1.0e-6
    same_node: float = 0.14


def derive(drives_csv_gz: Path) -> dict[str, float]:
    """Derive the figures that come from the drive reports.

    Raises:
        OSError: the file cannot be read.
    """
    groups: Counter[tuple[str, str]] = Counter()
    bad: Counter[tuple[str, str]] = Counter()
    hours: Counter[tuple[str, str]] = Counter()
    link, link_hours = 0, 0.0
    with gzip.open(drives_csv_gz) as file:
        for row in csv.DictReader(io.TextIOWrapper(file, "utf-8")):
            group = (row["model"], row["firmware"])
            groups[group] += 1
            worked = _number(row["power_on_hours"])
            if not 0 < worked < _MOST_HOURS:
                continue
            hours[group] += int(worked)
            bad[group] += any(_number(row[name]) > 0 for name in _ERRORS)
            if row["a199"]:
                link_hours += worked
                link += _number(row["a199"]) > 0
    rate = sum(bad.values()) / sum(hours.values())
    spread = sum((bad[one] - rate * hours[one]) ** 2 - rate * hours[one] for one in hours)
    return {
        "media_per_hour": rate,
        "link_per_hour": link / link_hours,
        "rate_shape": sum((rate * one) ** 2 for one in hours.values()) / spread,
        "largest_share": groups.most_common(1)[0][1] / groups.total(),
    }


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
