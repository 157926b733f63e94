"""Rules about the metrics collector: Katib's webhook, and whether it could read the metrics at all."""

import re
from collections.abc import Iterator
from typing import Any

from traffic_yolo.cluster.access import at, list_at, mapping_at, text_at
from traffic_yolo.katib.check.filter_lines import verdict
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.check.rules_search import metric_names
from traffic_yolo.katib.spec.constants import COLLECTOR_KINDS, DEFAULT_METRICS_FORMAT
from traffic_yolo.katib.spec.go_regexp import compile_go

SOURCE = "spec.metricsCollectorSpec.source"
FILTER = f"{SOURCE}.filter.metricsFormat"
# Katib's own test of "two groups", validator.go: a look at the text, so \(a\)\(b\) passes it
TWO_BRACKETS = re.compile(r".*\(.*\).*\(.*\).*")


@rule("collector-kind", "error", "admission")
def collector_kind(subject: Subject) -> Iterator[Violation]:
    """The collector is one of Katib's (v1beta1 has no None any more)."""
    found = at(subject.spec, "metricsCollectorSpec", "collector", "kind")
    if subject.spec and found not in COLLECTOR_KINDS:
        path = "spec.metricsCollectorSpec.collector.kind"
        yield Violation(path, "unknown collector", ", ".join(COLLECTOR_KINDS), shown(found), "take StdOut or File")


@rule("collector-file-path", "error", "admission")
def collector_file_path(subject: Subject) -> Iterator[Violation]:
    """The File collector reads an absolute path of kind File."""
    if kind_of(subject) != "File":
        return
    path, kind = _file(subject, "path"), _file(subject, "kind")
    if not str(path).startswith("/"):
        yield Violation(f"{SOURCE}.fileSystemPath.path", "not absolute", "a path from /", shown(path), "write it whole")
    if kind != "File":
        yield Violation(f"{SOURCE}.fileSystemPath.kind", "not a file", "File", shown(kind), "write File")


@rule("collector-file-format", "error", "admission")
def collector_file_format(subject: Subject) -> Iterator[Violation]:
    """The File collector reads TEXT or JSON."""
    found = _file(subject, "format")
    if kind_of(subject) == "File" and found not in ("TEXT", "JSON"):
        yield Violation(f"{SOURCE}.fileSystemPath.format", "unknown format", "TEXT or JSON", shown(found), "take one")


@rule("collector-json-filter", "error", "admission")
def collector_json_filter(subject: Subject) -> Iterator[Violation]:
    """JSON has no filter: its keys are the metrics' names."""
    if kind_of(subject) == "File" and _file(subject, "format") == "JSON" and at(_source(subject), "filter") is not None:
        yield Violation(f"{SOURCE}.filter", "not with JSON", "no filter", "a filter", "remove it, or write TEXT")


@rule("collector-event-folder", "error", "admission")
def collector_event_folder(subject: Subject) -> Iterator[Violation]:
    """The TensorFlowEvent collector reads an absolute path of kind Directory, without a format."""
    if kind_of(subject) != "TensorFlowEvent":
        return
    path, kind, form = _file(subject, "path"), _file(subject, "kind"), _file(subject, "format")
    where = f"{SOURCE}.fileSystemPath"
    if not str(path).startswith("/"):
        yield Violation(f"{where}.path", "not absolute", "a path from /", shown(path), "write it whole")
    if kind != "Directory":
        yield Violation(f"{where}.kind", "not a folder", "Directory", shown(kind), "write Directory")
    if form not in (None, ""):
        yield Violation(f"{where}.format", "event files have one format", "nothing", shown(form), "remove it")


@rule("collector-prometheus", "error", "admission")
def collector_prometheus(subject: Subject) -> Iterator[Violation]:
    """The PrometheusMetric collector asks a port above 0 for a path that starts with /."""
    if kind_of(subject) != "PrometheusMetric":
        return
    port, path = at(_source(subject), "httpGet", "port"), at(_source(subject), "httpGet", "path")
    if not (str(port).isascii() and str(port).isdecimal() and int(str(port)) > 0) or isinstance(port, bool):
        yield Violation(f"{SOURCE}.httpGet.port", "no port", "a number above 0", shown(port), "write a number")
    if not str(path).startswith("/"):
        yield Violation(f"{SOURCE}.httpGet.path", "no path", "a path from /", shown(path), "write it whole")


@rule("collector-custom", "error", "admission")
def collector_custom(subject: Subject) -> Iterator[Violation]:
    """The Custom collector names its container, and an absolute path of kind File or Directory if any."""
    if kind_of(subject) != "Custom":
        return
    collector = "spec.metricsCollectorSpec.collector.customCollector"
    if not isinstance(at(subject.spec, "metricsCollectorSpec", "collector", "customCollector"), dict):
        yield Violation(collector, "no container", "a container", "nothing", "write it, or take StdOut")
    if at(_source(subject), "fileSystemPath") is not None:
        path, kind = _file(subject, "path"), _file(subject, "kind")
        if not str(path).startswith("/") or kind not in ("File", "Directory"):
            found = f"{shown(kind)} {shown(path)}"
            yield Violation(f"{SOURCE}.fileSystemPath", "no place", "File or Directory, from /", found, "correct it")


@rule("filter-expression", "error", "admission")
def filter_expression(subject: Subject) -> Iterator[Violation]:
    """Every metricsFormat is an expression of Go (RE2): no look-around, no back-references."""
    for path, pattern in formats(subject):
        try:
            compile_go(pattern)
        except ValueError as error:
            fix = "write it without look-around and back-references"
            yield Violation(path, f"Go cannot read it: {error}", "an RE2 expression", shown(pattern), fix)


@rule("filter-brackets", "error", "admission")
def filter_brackets(subject: Subject) -> Iterator[Violation]:
    """Every metricsFormat has two pairs of brackets."""
    for path, pattern in formats(subject):
        if _compiles(pattern) and not TWO_BRACKETS.search(pattern):
            yield Violation(path, "name and value are not bracketed", "(name)…(value)", shown(pattern), "bracket both")


@rule("filter-groups", "error", "later")
def filter_groups(subject: Subject) -> Iterator[Violation]:
    """Every metricsFormat has two groups that count: the collector passes over matches with fewer."""
    for path, pattern in formats(subject):
        if TWO_BRACKETS.search(pattern) and _compiles(pattern) and compile_go(pattern).groups < 2:
            found = f"{compile_go(pattern).groups} groups in {shown(pattern)}"
            yield Violation(path, "escaped or uncounted brackets are no groups", "two groups", found, "bracket both")


@rule("filter-semicolon", "error", "later")
def filter_semicolon(subject: Subject) -> Iterator[Violation]:
    """No metricsFormat holds ';': the collector gets all of them in one argument, parted by it."""
    for path, pattern in formats(subject):
        if ";" in pattern:
            yield Violation(path, "the collector would see two expressions", "no ';'", shown(pattern), r"write \x3b")


@rule("filter-ignored", "warning", "nobody")
def filter_ignored(subject: Subject) -> Iterator[Violation]:
    """A filter stands with a collector that reads text: StdOut or File."""
    if kind_of(subject) in ("TensorFlowEvent", "PrometheusMetric", "Push") and at(_source(subject), "filter"):
        yield Violation(f"{SOURCE}.filter", "nobody reads it", "no filter", kind_of(subject), "remove it")


@rule("source-ignored", "warning", "nobody")
def source_ignored(subject: Subject) -> Iterator[Violation]:
    """A file path does not stand with StdOut, which writes and reads its own file."""
    if kind_of(subject) == "StdOut" and at(_source(subject), "fileSystemPath") is not None:
        path = f"{SOURCE}.fileSystemPath"
        yield Violation(
            path, "StdOut does not read it", "nothing", shown(_file(subject, "path")), "remove it, or take File"
        )


@rule("metric-name", "error", "later")
def metric_name(subject: Subject) -> Iterator[Violation]:
    """Some metricsFormat can give each metric's name: without one, only letters, digits, '_', '-' and '|' can."""
    for path, name, verdicts in _verdicts(subject):
        if verdicts == {"none"}:
            given = any(True for _ in formats(subject))
            message = f"no line gives the collector a metric {shown(name)}"
            expected = "a name that the first group of metricsFormat takes" if given else "letters, digits, '_', '-'"
            yield Violation(path, message, expected, shown(name), "rename the metric, or change metricsFormat")


@rule("metric-line", "warning", "nobody")
def metric_line(subject: Subject) -> Iterator[Violation]:
    """Some metricsFormat is seen to give each metric: a line that it takes can be made up here."""
    for path, name, verdicts in _verdicts(subject):
        if "line" not in verdicts and "unknown" in verdicts:
            message = f"nothing here shows that a line gives the collector {shown(name)}"
            expected = "an expression for which a line can be made up"
            yield Violation(path, message, expected, shown(name), "try a line of your program's by `katib run`")


def _verdicts(subject: Subject) -> Iterator[tuple[str, str, set[str]]]:
    """(path, metric, what each expression makes of it), where a collector reads text by sound expressions."""
    if kind_of(subject) not in ("StdOut", "File") or _file(subject, "format") == "JSON":
        return
    patterns = [pattern for _, pattern in formats(subject)] or [DEFAULT_METRICS_FORMAT]
    if all(_compiles(pattern) and compile_go(pattern).groups >= 2 for pattern in patterns):
        for path, name in metric_names(subject.spec):
            yield path, name, {verdict(pattern, name) for pattern in patterns}


def kind_of(subject: Subject) -> str:
    """The collector's kind."""
    return text_at(subject.spec, "metricsCollectorSpec", "collector", "kind")


def formats(subject: Subject) -> Iterator[tuple[str, str]]:
    """(path, expression) of the filter."""
    for index, pattern in enumerate(list_at(_source(subject), "filter", "metricsFormat")):
        if isinstance(pattern, str):
            yield f"{FILTER}[{index}]", pattern


def _source(subject: Subject) -> dict[str, Any]:
    return mapping_at(subject.spec, "metricsCollectorSpec", "source")


def _file(subject: Subject, key: str) -> Any:
    return at(_source(subject), "fileSystemPath", key)


def _compiles(pattern: str) -> bool:
    try:
        compile_go(pattern)
    except ValueError:
        return False
    return True
