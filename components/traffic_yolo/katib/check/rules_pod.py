"""Rules about the trial's pod: what Katib's injected shell makes of the command, and what keeps a trial from ending."""

import re
from collections.abc import Iterator
from typing import Any

from traffic_yolo.cluster.access import at, list_at, mapping_at, mappings_at, text_at, texts_at, whole_at
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.check.rules_collector import kind_of
from traffic_yolo.katib.spec.constants import LIST_TYPES, placeholder
from traffic_yolo.katib.spec.shell_words import VARIABLE, Quotes, breaks, fate, has_pattern, quotes_around
from traffic_yolo.katib.spec.template import containers, pod_path

TEMPLATE = "spec.trialTemplate.trialSpec"
ISTIO = "sidecar.istio.io/inject"
GPU = re.compile(r"[^/]+/(gpu|mig-.*)")
WRAPPED = ("StdOut", "File", "TensorFlowEvent", "Custom")


@rule("container-present", "error", "later")
def container_present(subject: Subject) -> Iterator[Violation]:
    """The primary container is in the template."""
    name, found = text_at(subject.template, "primaryContainerName"), containers(_trial(subject))
    names = [text_at(container, "name") for _, container in found]
    if name and pod_path(_trial(subject)) is not None and name not in names:
        path = "spec.trialTemplate.primaryContainerName"
        expected = ", ".join(filter(None, names)) or "a container of the template"
        yield Violation(path, "no such container", expected, shown(name), "correct the name")


@rule("container-command", "warning", "nobody")
def container_command(subject: Subject) -> Iterator[Violation]:
    """The primary container has a command: without one Katib asks the image's registry for it."""
    for path, container in _primary(subject):
        if not list_at(container, "command") and kind_of(subject) in WRAPPED:
            message = "Katib must read the image's configuration in its registry"
            yield Violation(f"{path}.command", message, "a command", "nothing", "write it")


@rule("container-image", "error", "later")
def container_image(subject: Subject) -> Iterator[Violation]:
    """Every container has an image."""
    for path, container in containers(_trial(subject)):
        if not text_at(container, "image"):
            yield Violation(
                f"{TEMPLATE}.{path}.image", "no image", "an image", shown(container.get("image")), "write it"
            )


@rule("image-tag", "warning", "nobody")
def image_tag(subject: Subject) -> Iterator[Violation]:
    """An image has a tag other than latest, or a digest: all trials should run one program."""
    for path, container in containers(_trial(subject)):
        image = text_at(container, "image")
        tag = image.rpartition("/")[2].partition(":")[2]
        if image and "@sha256:" not in image and "${trialParameters." not in image and tag in ("", "latest"):
            expected = "a version or a digest"
            yield Violation(
                f"{TEMPLATE}.{path}.image", "trials may run different programs", expected, shown(image), "pin it"
            )


@rule("image-shell", "info", "nobody")
def image_shell(subject: Subject) -> Iterator[Violation]:
    """The image has sh: Katib runs the command in it."""
    for path, container in _primary(subject):
        if kind_of(subject) in WRAPPED:
            found = shown(text_at(container, "image"))
            yield Violation(f"{path}.image", "Katib wraps the command in sh -c", "an image with sh", found, "")


@rule("shell-words", "error", "nobody")
def shell_words(subject: Subject) -> Iterator[Violation]:
    """No word of the command falls apart: Katib joins the words with spaces and gives them to sh -c."""
    for place, (path, word) in enumerate(_command_words(subject)):
        what, text = fate(word)
        if what == "cut" and not (place == 0 and " " in word):
            message = f"the shell would not take {_named(text)} literally"
            fix = 'quote the whole value (--name="a b"), or make the command ["sh", "-c", "…"] with quotes of your own'
            yield Violation(path, message, "a word that needs no quotes", shown(word), fix)


@rule("shell-syntax", "warning", "nobody")
def shell_syntax(subject: Subject) -> Iterator[Violation]:
    """No word of the command means something to sh: $NAME, *, &&, a whole command line as the first word."""
    for place, (path, word) in enumerate(_command_words(subject)):
        what, text = fate(word)
        if what == "syntax" or (what == "cut" and place == 0 and " " in word):
            message = f"Katib's sh takes {_named(text)} for its own; without Katib the program would get it"
            fix = 'leave it where that is meant; ["sh", "-c", "…"] says so'
            yield Violation(path, message, "a word that means nothing to a shell", shown(word), fix)
    for path, value, quotes, _ in _listed_values(subject):
        if not quotes and has_pattern(value) and not breaks(value, quotes):
            message = "a pattern of file names: the shell replaces it where files fit"
            yield Violation(path, message, "a value without * ? [", shown(value), "choose another word, or quote it")


@rule("shell-variable", "warning", "nobody")
def shell_variable(subject: Subject) -> Iterator[Violation]:
    """$(NAME) in the command is replaced by Kubernetes, and its value then read by the shell."""
    for path, word in _command_words(subject):
        for name in VARIABLE.findall(word):
            message = "its value must need no quotes, and the variable must be set"
            yield Violation(path, message, "a plain value", shown(name), "see that it is plain")


@rule("shell-values", "error", "nobody")
def shell_values(subject: Subject) -> Iterator[Violation]:
    """No value of a list needs other quotes than those in which the command takes it."""
    for path, value, quotes, stands_alone in _listed_values(subject):
        found = breaks(value, quotes)
        if found or (not value and stands_alone):
            message = f"the shell would not take {_named(found)} literally"
            expected = f"a value without it inside {quotes}" if quotes else "a value that needs no quotes"
            fix = f"choose another word{'' if quotes else ', or quote its placeholder'}"
            yield Violation(path, message, expected, shown(value), fix)


@rule("shell-script", "error", "nobody")
def shell_script(subject: Subject) -> Iterator[Violation]:
    """After sh -c there is one script: Katib joins what follows into it."""
    for path, container in _primary(subject):
        words = [*list_at(container, "command"), *list_at(container, "args")]
        if kind_of(subject) in WRAPPED and _is_script(words) and len(words) != 3:
            found = f"{len(words) - 2} words after {words[0]} -c"
            yield Violation(f"{path}.command", "the words become one script", "one script", found, "join them yourself")


@rule("shell-short", "error", "later")
def shell_short(subject: Subject) -> Iterator[Violation]:
    """A command that starts with sh or bash has a second word: Katib's webhook looks at it and would crash."""
    for path, container in _primary(subject):
        words = [*list_at(container, "command"), *list_at(container, "args")]
        if kind_of(subject) in WRAPPED and len(words) == 1 and words[0] in ("sh", "bash"):
            yield Violation(f"{path}.command", "nothing to run", '["sh", "-c", "…"]', words[0], "write the script")


@rule("restart-policy", "error", "later")
def restart_policy(subject: Subject) -> Iterator[Violation]:
    """A Job's pod says restartPolicy Never (or OnFailure): Kubernetes takes no other."""
    found = at(_pod(subject), "restartPolicy")
    if text_at(_trial(subject), "kind") == "Job" and _pod(subject) and found not in ("Never", "OnFailure"):
        yield Violation(f"{_pod_path(subject)}.restartPolicy", "not for a Job", "Never", shown(found), "write Never")


@rule("restart-repeats", "warning", "nobody")
def restart_repeats(subject: Subject) -> Iterator[Violation]:
    """A failed trial is not started again in its pod: a half-written log would be read with the new one."""
    if at(_pod(subject), "restartPolicy") == "OnFailure":
        yield Violation(
            f"{_pod_path(subject)}.restartPolicy", "a trial is repeated", "Never", "OnFailure", "write Never"
        )


@rule("backoff-limit", "warning", "nobody")
def backoff_limit(subject: Subject) -> Iterator[Violation]:
    """A Job has backoffLimit 0: Kubernetes would run a failing trial seven times before Katib counts it."""
    found = at(_trial(subject), "spec", "backoffLimit")
    if text_at(_trial(subject), "kind") == "Job" and found != 0 and mapping_at(_trial(subject), "spec"):
        shown_found = "6, the default" if found is None else shown(found)
        yield Violation(f"{TEMPLATE}.spec.backoffLimit", "a failing trial is repeated", "0", shown_found, "write 0")


@rule("istio", "warning", "nobody")
def istio(subject: Subject) -> Iterator[Violation]:
    """The pod has the label sidecar.istio.io/inject: "false": with Istio's proxy beside it a Job never ends."""
    path = pod_path(_trial(subject))
    if not path or text_at(_trial(subject), "kind") != "Job":
        return
    where = f"{TEMPLATE}.{'.'.join(path)}.metadata.labels"
    found = at(_trial(subject), *path, "metadata", "labels", ISTIO)
    if found != "false":
        annotated = at(_trial(subject), *path, "metadata", "annotations", ISTIO)
        text = "the annotation alone, of old" if annotated is not None else shown(found) if found else "nothing"
        yield Violation(where, "in a mesh the pod would never end", f'{ISTIO}: "false"', text, "add the label")


@rule("sidecars", "warning", "nobody")
def sidecars(subject: Subject) -> Iterator[Violation]:
    """The pod has one container: Katib's collector waits for all processes of all of them."""
    found = [text_at(container, "name") for _, container in containers(_trial(subject))]
    if len(found) > 1:
        message = "the trial ends when all of them end"
        yield Violation(
            f"{_pod_path(subject)}.containers", message, "one container", ", ".join(found), "see that they end"
        )


@rule("gpus", "info", "nobody")
def gpus(subject: Subject) -> Iterator[Violation]:
    """So many GPUs are asked for at once."""
    each = 0
    for _, container in containers(_trial(subject)):
        for name, amount in mapping_at(container, "resources", "limits").items():
            if GPU.fullmatch(name) and str(amount).isdecimal():
                each += int(str(amount))
    parallel = whole_at(subject.spec, "parallelTrialCount") or 0
    if each and parallel > 0:
        found = f"{each} a trial, {parallel} trials at once"
        message = f"{each * parallel} GPUs must be free and within the quota, or trials wait"
        yield Violation("spec.parallelTrialCount", message, "", found, "lower it where they are not")


@rule("gpu-request-only", "error", "later")
def gpu_request_only(subject: Subject) -> Iterator[Violation]:
    """GPUs are in the limits: Kubernetes takes no request for them alone."""
    for path, container in containers(_trial(subject)):
        limits = mapping_at(container, "resources", "limits")
        for name in mapping_at(container, "resources", "requests"):
            if GPU.fullmatch(name) and name not in limits:
                where = f"{TEMPLATE}.{path}.resources.limits"
                yield Violation(where, f"{name} is requested without a limit", f"{name} here", "nothing", "add it")


@rule("claims", "info", "nobody")
def claims(subject: Subject) -> Iterator[Violation]:
    """The claims exist in the namespace, and take many pods where trials run at once."""
    parallel = whole_at(subject.spec, "parallelTrialCount") or 1
    for index, volume in mappings_at(_pod(subject), "volumes"):
        name = text_at(volume, "persistentVolumeClaim", "claimName")
        if name:
            expected = "ReadWriteMany" if parallel > 1 else "a claim of that name"
            path = f"{_pod_path(subject)}.volumes[{index}]"
            yield Violation(path, f"claim {shown(name)} must exist", expected, "not visible from here", "")


@rule("volume-mounts", "error", "later")
def volume_mounts(subject: Subject) -> Iterator[Violation]:
    """Every volumeMount names a volume of the pod."""
    volumes = [text_at(volume, "name") for _, volume in mappings_at(_pod(subject), "volumes")]
    for path, container in containers(_trial(subject)):
        for index, mount in mappings_at(container, "volumeMounts"):
            name = text_at(mount, "name")
            if name not in volumes:
                where = f"{TEMPLATE}.{path}.volumeMounts[{index}].name"
                yield Violation(
                    where, "no such volume", ", ".join(volumes) or "a volume", shown(name), "add the volume"
                )


def _trial(subject: Subject) -> dict[str, Any]:
    return mapping_at(subject.template, "trialSpec")


def _pod(subject: Subject) -> dict[str, Any]:
    path = pod_path(_trial(subject))
    return mapping_at(_trial(subject), *path, "spec") if path is not None else {}


def _pod_path(subject: Subject) -> str:
    return ".".join((TEMPLATE, *(pod_path(_trial(subject)) or ()), "spec"))


def _primary(subject: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, container) of the primary container, if it is there."""
    name = text_at(subject.template, "primaryContainerName")
    for path, container in containers(_trial(subject)):
        if name and text_at(container, "name") == name:
            yield f"{TEMPLATE}.{path}", container


def _all_words(subject: Subject) -> Iterator[tuple[str, str]]:
    """(path, word) of the primary container's command and arguments, where Katib's shell reads them."""
    for path, container in _primary(subject):
        if kind_of(subject) in WRAPPED:
            for key in ("command", "args"):
                for index, word in enumerate(list_at(container, key)):
                    if isinstance(word, str):
                        yield f"{path}.{key}[{index}]", word


def _command_words(subject: Subject) -> Iterator[tuple[str, str]]:
    """`_all_words`, or none where the command is a script already (sh -c)."""
    words = list(_all_words(subject))
    if not _is_script([word for _, word in words]):
        yield from words


def _named(text: str) -> str:
    """What a shell makes something of, as a message shows it."""
    if not text:
        return "an empty word"
    return shown(text) if text.strip() else "a blank"


def _listed_values(subject: Subject) -> Iterator[tuple[str, str, Quotes, bool]]:
    """(path, value, the quotes around its placeholder, whether that is a whole word) of lists in the command."""
    names = {
        text_at(entry, "reference"): text_at(entry, "name")
        for _, entry in mappings_at(subject.template, "trialParameters")
    }
    words = [word for _, word in _all_words(subject)]
    is_script = _is_script(words)
    for index, parameter in mappings_at(subject.spec, "parameters"):
        taken = placeholder(names.get(text_at(parameter, "name"), ""))
        if text_at(parameter, "parameterType") not in LIST_TYPES:
            continue
        quotes: set[Quotes] = set().union(*(quotes_around(word, taken) for word in words))
        for place, value in enumerate(texts_at(parameter, "feasibleSpace", "list")):
            path = f"spec.parameters[{index}].feasibleSpace.list[{place}]"
            for kind in sorted(quotes):
                yield path, value, kind, taken in words and not is_script


def _is_script(words: list[Any]) -> bool:
    """Katib's test, pod/utils.go: a command that starts with sh -c or bash -c is not wrapped again."""
    return len(words) >= 2 and words[0] in ("sh", "bash") and words[1] == "-c"
