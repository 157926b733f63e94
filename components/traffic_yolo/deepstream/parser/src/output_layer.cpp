#include "output_layer.h"

#include <cstdint>

namespace traffic_yolo {

namespace {

constexpr std::size_t MOST_VALUES = std::size_t{1} << 31;  // 8 GiB: a shape beyond it is no network's

}  // namespace

std::string text_of(const std::vector<std::size_t>& shape) {
    std::string text = "(";
    for (std::size_t index = 0; index < shape.size(); ++index) {
        text += (index ? ", " : "") + std::to_string(shape[index]);
    }
    return text + ")";
}

Tensor tensor_of(const NvDsInferLayerInfo& layer) {
    Tensor tensor{layer.layerName ? layer.layerName : "", {}, 1, nullptr};
    const std::string where = "output '" + tensor.name + "': ";
    if (layer.dataType != FLOAT) {
        throw ParseError(where + "expected float32, found data type " + std::to_string(static_cast<int>(layer.dataType)) +
                         "; keep the outputs of the ONNX file float32");
    }
    if (layer.inferDims.numDims < 1 || layer.inferDims.numDims > NVDSINFER_MAX_DIMS) {
        throw ParseError(where + "has " + std::to_string(layer.inferDims.numDims) + " dimensions; expected 1 to 8");
    }
    for (unsigned int index = 0; index < layer.inferDims.numDims; ++index) {
        const std::size_t length = layer.inferDims.d[index];
        tensor.shape.push_back(length);
        if (length == 0 || tensor.count > MOST_VALUES / length) {
            throw ParseError(where + "has the impossible shape " + text_of(tensor.shape) + "…");
        }
        tensor.count *= length;
    }
    if (tensor.count != layer.inferDims.numElements) {
        throw ParseError(where + "shape " + text_of(tensor.shape) + " does not fit its " +
                         std::to_string(layer.inferDims.numElements) + " values");
    }
    if (layer.buffer == nullptr || reinterpret_cast<std::uintptr_t>(layer.buffer) % alignof(float) != 0) {
        throw ParseError(where + "has no buffer of float32 on the host");
    }
    tensor.values = static_cast<const float*>(layer.buffer);
    return tensor;
}

const std::vector<float>& checked_thresholds(const NvDsInferParseDetectionParams& parameters) {
    const std::vector<float>& thresholds = parameters.perClassPreclusterThreshold;
    if (parameters.numClassesConfigured < 1 || thresholds.size() < parameters.numClassesConfigured) {
        throw ParseError("num-detected-classes is " + std::to_string(parameters.numClassesConfigured) + " with " +
                         std::to_string(thresholds.size()) + " thresholds; expected one for each class of the model");
    }
    return thresholds;
}

}  // namespace traffic_yolo
