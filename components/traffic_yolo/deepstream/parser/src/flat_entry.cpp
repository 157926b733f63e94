// The parser's functions for callers without C++ vectors: the tests and the benchmark, by Python's ctypes. Not part of
// the library that nvinfer loads.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "nvdsinfer_custom_impl.h"

extern "C" bool NvDsInferParseYolo(std::vector<NvDsInferLayerInfo> const&, NvDsInferNetworkInfo const&,
                                   NvDsInferParseDetectionParams const&, std::vector<NvDsInferParseObjectInfo>&);
extern "C" bool NvDsInferParseYoloMultiLabel(std::vector<NvDsInferLayerInfo> const&, NvDsInferNetworkInfo const&,
                                             NvDsInferParseDetectionParams const&,
                                             std::vector<NvDsInferParseObjectInfo>&);

// One output of the network; `shape` has `dimensions` lengths, `values` the numbers, of which there are `count`.
struct FlatLayer {
    const char* name;
    std::int32_t data_type;
    std::uint32_t dimensions;
    std::uint32_t shape[NVDSINFER_MAX_DIMS];
    std::uint32_t count;
    void* values;
};

// Writes up to `room` objects as rows of left, top, width, height, score, class id, rotation. Returns how many there are
// (which may be more than there is room for), or -1 where the parser refuses its input.
extern "C" std::int64_t traffic_yolo_parse(const FlatLayer* layers, std::uint32_t num_layers, std::uint32_t width,
                                           std::uint32_t height, const float* thresholds, std::uint32_t num_thresholds,
                                           std::uint32_t num_classes, std::int32_t all_labels, float* rows,
                                           std::int64_t room) {
    std::vector<NvDsInferLayerInfo> given;
    for (std::uint32_t index = 0; index < num_layers; ++index) {
        NvDsInferLayerInfo layer = {};
        layer.dataType = static_cast<NvDsInferDataType>(layers[index].data_type);
        layer.inferDims.numDims = layers[index].dimensions;
        std::memcpy(layer.inferDims.d, layers[index].shape, sizeof(layer.inferDims.d));
        layer.inferDims.numElements = layers[index].count;
        layer.layerName = layers[index].name;
        layer.buffer = layers[index].values;
        given.push_back(layer);
    }
    const std::vector<float> given_thresholds(thresholds, thresholds + num_thresholds);
    const NvDsInferNetworkInfo network = {width, height, 3};
    const NvDsInferParseDetectionParams parameters = {num_classes, given_thresholds, {}};
    std::vector<NvDsInferParseObjectInfo> objects;
    const auto function = all_labels ? NvDsInferParseYoloMultiLabel : NvDsInferParseYolo;
    if (!function(given, network, parameters, objects)) {
        return -1;
    }
    const auto count = static_cast<std::int64_t>(objects.size());
    for (std::int64_t index = 0; index < std::min(count, room); ++index) {
        const NvDsInferParseObjectInfo& object = objects[static_cast<std::size_t>(index)];
        const float row[] = {object.left,  object.top, object.width, object.height, object.detectionConfidence,
                             static_cast<float>(object.classId), object.rotation_angle};
        std::copy(std::begin(row), std::end(row), rows + 7 * index);
    }
    return count;
}
