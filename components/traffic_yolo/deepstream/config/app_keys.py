"""Every group and key that deepstream-app's configuration file knows, in both forms, with the kind of its value.

The tables follow deepstream-app's own parsers (DeepStream 9.1). Its whole numbers, truth values and numbers are GLib's,
as nvinfer's are: `enable` is a whole number, so `enable=true` stops the application. The YAML form is another parser,
which knows fewer keys, no [source<n>] (sources stand in a CSV file) and no lists of sources.
"""

import re
from dataclasses import dataclass

from traffic_yolo.deepstream.config.nvinfer_keys import Key, Kind


@dataclass(frozen=True)
class AppGroup:
    """A group: `numbered` where a number follows its name. `text_only` and `yaml_only`: keys of one form alone.

    `forms`: in which forms the group is known. `prefixes`: beginnings of keys that a number follows.
    """

    keys: dict[str, Key]
    numbered: bool = False
    text_only: frozenset[str] = frozenset()
    yaml_only: frozenset[str] = frozenset()
    in_yaml: bool = True
    prefixes: tuple[str, ...] = ()

    def known(self, *, is_yaml: bool) -> dict[str, Key]:
        """The keys of one form."""
        foreign = self.text_only if is_yaml else self.yaml_only
        return {name: key for name, key in self.keys.items() if name not in foreign}


def _keys(**names_of_kind: str) -> dict[str, Key]:
    kinds: dict[str, Kind] = {"text": "text", "flag": "flag", "whole": "int", "wholes": "ints", "numbers": "floats"}
    kinds["number"] = "float"
    return {name: Key(kinds[kind]) for kind, names in names_of_kind.items() for name in names.split()}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SOURCE_KEYS = _keys(
    whole="""enable type camera-width camera-height camera-fps-n camera-fps-d camera-csi-sensor-id camera-v4l2-dev-node
    udp-buffer-size latency num-sources gpu-id num-decode-surfaces num-extra-surfaces drop-frame-interval
    drop-on-latency camera-id rtsp-reconnect-interval-sec init-rtsp-reconnect-interval-sec rtsp-reconnect-attempts
    simulate-fps-interval-ms intra-decode-enable low-latency-decode cudadec-memtype nvbuf-memory-type
    select-rtp-protocol set-rtp-protocol leaky max-size-buffers buffer-mode source-id smart-record
    smart-rec-video-cache smart-rec-cache smart-rec-container smart-rec-start-time smart-rec-default-duration
    smart-rec-duration smart-rec-interval extract-sei-type5-data copy-hw""",
    text="alsa-device video-format uri smart-rec-dir-path smart-rec-file-prefix",
    flag="sensorID-padID-mapping",
)
_MESSAGE_CONVERTER_KEYS = _keys(
    whole="msg-conv-payload-type msg-conv-comp-id msg-conv-frame-interval",
    text="msg-conv-config msg-conv-msg2p-lib debug-payload-dir msg-conv-embedding-filter",
    flag="multiple-payloads msg-conv-msg2p-new-api msg-conv-dummy-payload",
)
_GIE = AppGroup(
    _keys(
        whole="""enable batch-size plugin-type audio-framesize audio-hopsize audio-input-rate min-crop-size verbose
        interval gie-unique-id operate-on-gie-id gpu-id nvbuf-memory-type""",
        flag="input-tensor-meta",
        wholes="operate-on-class-ids",
        text="""model-engine-file audio-transform model-variant device backend triton-url triton-model labelfile-path
        config-file infer-raw-output-dir""",
    ),
    text_only=_names("backend device min-crop-size model-variant triton-model triton-url verbose"),
    prefixes=("bbox-border-color", "bbox-bg-color"),
)
_PREPROCESS = AppGroup(
    _keys(whole="enable operate-on-gie-id", text="config-file"), text_only=_names("operate-on-gie-id")
)

APP_GROUPS: dict[str, AppGroup] = {
    "application": AppGroup(
        _keys(
            whole="enable-perf-measurement perf-measurement-interval-sec global-gpu-id",
            text="""gie-kitti-output-dir kitti-track-output-dir reid-track-output-dir terminated-track-output-dir
            shadow-track-output-dir""",
        )
    ),
    "tests": AppGroup(_keys(whole="file-loop pipeline-recreate-sec"), text_only=_names("pipeline-recreate-sec")),
    "source-list": AppGroup(
        _keys(
            whole="""num-source-bins max-batch-size sgie-batch-size extract-sei-type5-data low-latency-mode""",
            flag="""dummy-payload custom-ts-to-rfc use-nvmultiurisrcbin stream-name-display
            enable-error-propagation""",
            text="""list sensor-id-list sensor-name-list batched-sensor-name http-ip http-port sei-uuid proto-lib
            conn-str topic""",
        ),
        in_yaml=False,
    ),
    "source-attr-all": AppGroup(_SOURCE_KEYS, in_yaml=False),
    "source": AppGroup({**_SOURCE_KEYS}, numbered=True, in_yaml=False),
    "streammux": AppGroup(
        _keys(
            whole="""compute-hw cache-buffer-timeout sync-inputs-ntp width height gpu-id enable-padding
            frame-duration buffer-pool-size batch-size live-source attach-sys-ts-as-ntp batched-push-timeout
            nvbuf-memory-type sync-inputs max-latency num-surfaces-per-frame extract-sei-type5-data
            extract-sei-sim-time align-first-buffer failsafe-flush-count drop-backward-sei attach-sys-ts
            interpolation-method""",
            flag="""sort-batch cache-buffer frame-num-reset-on-stream-reset frame-num-reset-on-eos async-process
            drop-pipeline-eos""",
            text="config-file-path",
        ),
        text_only=_names(
            """align-first-buffer attach-sys-ts-as-ntp cache-buffer cache-buffer-timeout drop-backward-sei
            extract-sei-sim-time extract-sei-type5-data sort-batch sync-inputs-ntp"""
        ),
        yaml_only=_names("attach-sys-ts interpolation-method"),
    ),
    "primary-gie": _GIE,
    "secondary-gie": AppGroup(_GIE.keys, numbered=True, text_only=_GIE.text_only, prefixes=_GIE.prefixes),
    "tracker": AppGroup(
        _keys(
            whole="""enable tracker-width tracker-height gpu-id tracker-surface-type tracking-surface-type
            display-tracking-id tracking-id-reset-mode tensor-meta-gie-id compute-hw user-meta-pool-size
            sub-batch-err-recovery-trial-cnt""",
            text="ll-config-file ll-lib-file sub-batches operate-on-class-ids",
            flag="input-tensor-meta",
        )
    ),
    "osd": AppGroup(
        _keys(
            whole="""enable process-mode border-width text-size show-clock clock-x-offset clock-y-offset
            clock-text-size nvbuf-memory-type gpu-id""",
            numbers="text-color text-bg-color clock-color",
            text="font hw-blend-color-attr",
            flag="display-text display-bbox display-mask",
        )
    ),
    "tiled-display": AppGroup(
        _keys(
            whole="enable rows columns width height gpu-id nvbuf-memory-type compute-hw buffer-pool-size",
            flag="square-seq-grid",
        )
    ),
    "sink": AppGroup(
        {
            **_keys(
                whole="""enable type link-to-demux width height sync nvbuf-memory-type container codec enc-type
                copy-meta output-io-mode sw-preset bitrate profile iframeinterval source-id rtsp-port udp-port
                udp-buffer-size color-range conn-id plane-id set-mode compute-hw gpu-id msg-broker-comp-id
                disable-msgconv sleep-time""",
                flag="nvdslogger show-fps show-latency qos new-api",
                text="output-file msg-broker-proto-lib msg-broker-conn-str topic msg-broker-config",
            ),
            **_MESSAGE_CONVERTER_KEYS,
        },
        numbered=True,
        text_only=_names("copy-meta msg-conv-embedding-filter output-io-mode sleep-time sw-preset"),
    ),
    "pre-process": _PREPROCESS,
    "secondary-pre-process": AppGroup(_PREPROCESS.keys, numbered=True, in_yaml=False),
    "dewarper": AppGroup(
        _keys(
            whole="""enable gpu-id nvbuf-memory-type num-surfaces-per-frame source-id num-output-buffers
            num-batch-buffers""",
            text="config-file",
        ),
        numbered=True,
        yaml_only=_names("num-batch-buffers"),
    ),
    "nvds-analytics": AppGroup(_keys(whole="enable", text="config-file")),
    "ds-example": AppGroup(
        _keys(
            whole="""enable full-frame processing-width processing-height unique-id gpu-id nvbuf-memory-type
            batch-size""",
            flag="blur-objects",
        ),
        text_only=_names("batch-size"),
    ),
    "img-save": AppGroup(
        _keys(
            whole="enable gpu-id min-box-width min-box-height",
            number="""save-img-full-frame save-img-cropped-obj second-to-skip-interval min-confidence
            max-confidence""",
            text="output-folder-path frame-to-skip-rules-path",
        )
    ),
    "message-converter": AppGroup(
        {"enable": Key("int"), **_MESSAGE_CONVERTER_KEYS}, text_only=_names("msg-conv-embedding-filter")
    ),
    "message-consumer": AppGroup(
        _keys(whole="enable", text="config-file proto-lib conn-str sensor-list-file subscribe-topic-list"),
        numbered=True,
    ),
    "segvisual": AppGroup(_keys(whole="enable width height batch-size nvbuf-memory-type gpu-id")),
    "replay": AppGroup(
        _keys(whole="enable label-width label-height interval", text="label-dir file-names max-frame-nums")
    ),
    "visionencoder": AppGroup(
        _keys(
            whole="""enable batch-size min-crop-size gpu-id skip-interval cache-refresh-interval cache-max-size
            query-only""",
            text="model-variant device backend triton-url triton-model embedding-classes onnx-model tensorrt-engine",
            flag="verbose smart-infer ofa-predict",
            number="ofa-motion-threshold ofa-high-motion-threshold",
        ),
        in_yaml=False,
    ),
    "text-embedder": AppGroup(_keys(whole="enable", text="model-name onnx-model-path tokenizer-dir"), in_yaml=False),
}
# In YAML the one group of sources names a CSV file, whose first row has the keys of a source
YAML_SOURCE_KEYS = {"csv-file-path": Key("text")}
# Groups of which one alone makes a file an application's: nvinfer's file and those of other elements have none of them
APP_MARKS = ("application", "primary-gie", "streammux", "source-list", "tiled-display", "osd")
# Each knows these by prefix, and anything behind it is taken: [sink0], [sink-rtsp]. A source wants a number.
BY_PREFIX = ("secondary-gie", "sink", "secondary-pre-process", "message-consumer")

_NUMBER = re.compile(r"[0-9]+")


def app_group_of(name: str) -> AppGroup | None:
    """The group that a file calls `name` (`source0` is a source); None for one that deepstream-app passes over."""
    if name in APP_GROUPS:
        return APP_GROUPS[name]
    for prefix, group in APP_GROUPS.items():
        if group.numbered and name.startswith(prefix):
            rest = name.removeprefix(prefix)
            if _NUMBER.fullmatch(rest) or prefix in BY_PREFIX:
                return group
    return None
