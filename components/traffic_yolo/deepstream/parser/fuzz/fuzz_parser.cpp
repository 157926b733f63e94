// Feeds the parser outputs of any shape, name and value, and checks what it promises of the objects that it returns.
// Buffers are exactly as long as stated, so that a sanitizer sees a step beyond them.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "nvdsinfer_custom_impl.h"

extern "C" bool NvDsInferParseYolo(std::vector<NvDsInferLayerInfo> const&, NvDsInferNetworkInfo const&,
                                   NvDsInferParseDetectionParams const&, std::vector<NvDsInferParseObjectInfo>&);
extern "C" bool NvDsInferParseYoloMultiLabel(std::vector<NvDsInferLayerInfo> const&, NvDsInferNetworkInfo const&,
                                             NvDsInferParseDetectionParams const&,
                                             std::vector<NvDsInferParseObjectInfo>&);

namespace {

constexpr std::uint64_t MOST_VALUES = 1 << 14;
const char* const NAMES[] = {"output",
                             "yolo/stride=8/scale_x_y=1.05/new_coords=0/anchors=12x16,19x36",
                             "yolo/stride=16/scale_x_y=2/new_coords=1/anchors=5x6",
                             "yolo/stride=4294967295/scale_x_y=1/new_coords=0/anchors=1x1"};

class Bytes {
  public:
    Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    std::uint8_t byte() { return place_ < size_ ? data_[place_++] : 0; }

    // From what is left, over and over; any bits, NaN included, or small numbers.
    float value(bool any_bits) {
        std::uint8_t bytes[4];
        for (std::uint8_t& each : bytes) {
            if (place_ >= size_) {
                place_ = wrap_;
            }
            each = byte();
        }
        float number = 0;
        std::memcpy(&number, bytes, sizeof(number));
        return any_bits ? number : (bytes[0] - 100) * 0.1F;
    }

    void wrap_here() { wrap_ = place_; }

  private:
    const std::uint8_t* data_;
    std::size_t size_, place_ = 0, wrap_ = 0;
};

// A name and a shape that fit the network: what lies behind the first checks.
void fit(NvDsInferLayerInfo& layer, unsigned int kind, unsigned int rows, const NvDsInferNetworkInfo& network,
         unsigned int classes) {
    const unsigned int which = kind % 3;
    layer.layerName = NAMES[which];
    const unsigned int stride = 8 * std::max(which, 1U);
    const std::vector<unsigned int> shape =
        which == 0 ? std::vector<unsigned int>{rows, 6}
                   : std::vector<unsigned int>{(3 - which) * (5 + classes), network.height / stride, network.width / stride};
    layer.inferDims.numDims = static_cast<unsigned int>(shape.size());
    layer.inferDims.numElements = 1;
    for (std::size_t dimension = 0; dimension < shape.size(); ++dimension) {
        layer.inferDims.d[dimension] = shape[dimension];
        layer.inferDims.numElements *= shape[dimension];
    }
}

// Any name, any shape, any number of values.
void name_and_shape(NvDsInferLayerInfo& layer, std::string& name, std::uint8_t kind, std::uint8_t flags, Bytes& bytes) {
    if (kind < 200) {
        name = NAMES[kind % 4];
    } else {
        name = "yolo/";
        for (int letter = 0; letter < kind - 200; ++letter) {
            name += static_cast<char>(bytes.byte());
        }
    }
    layer.layerName = kind == 255 ? nullptr : name.c_str();
    layer.dataType = (flags & 2) != 0 ? FLOAT : static_cast<NvDsInferDataType>(bytes.byte() % 6);
    layer.inferDims.numDims = bytes.byte() % 11;
    std::uint64_t count = 1;
    for (unsigned int dimension = 0; dimension < NVDSINFER_MAX_DIMS; ++dimension) {
        const std::uint8_t length = dimension < layer.inferDims.numDims ? bytes.byte() : 0;
        layer.inferDims.d[dimension] = length == 255 ? 0xFFFFFFFFU : length;
        count *= dimension < layer.inferDims.numDims ? std::min<std::uint64_t>(length, MOST_VALUES + 1) : 1;
        count = std::min(count, MOST_VALUES + 1);
    }
    layer.inferDims.numElements = (flags & 4) != 0 ? static_cast<unsigned int>(count) : bytes.byte();
}

void require(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "fuzz_parser: %s\n", what);
        std::abort();
    }
}

void check(const std::vector<NvDsInferParseObjectInfo>& objects, const NvDsInferNetworkInfo& network,
           const NvDsInferParseDetectionParams& parameters) {
    for (const NvDsInferParseObjectInfo& each : objects) {
        require(each.classId < parameters.numClassesConfigured, "a class beyond num-detected-classes");
        require(each.detectionConfidence >= parameters.perClassPreclusterThreshold[each.classId], "a score too low");
        require(each.left >= 0 && each.left <= static_cast<float>(network.width), "a box beside the network");
        require(each.top >= 0 && each.top <= static_cast<float>(network.height), "a box below the network");
        require(each.width >= 1 && each.height >= 1, "a box of less than a pixel");
        require(each.width <= static_cast<float>(network.width), "a box wider than the network");
        require(each.height <= static_cast<float>(network.height), "a box higher than the network");
        require(each.rotation_angle == 0, "a tilted box");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Bytes bytes(data, size);
    const std::uint8_t flags = bytes.byte();
    NvDsInferParseDetectionParams parameters = {};
    parameters.numClassesConfigured = bytes.byte() % 6;
    const unsigned int thresholds = (flags & 1) != 0 ? parameters.numClassesConfigured : bytes.byte() % 6;
    for (unsigned int index = 0; index < thresholds; ++index) {
        parameters.perClassPreclusterThreshold.push_back(static_cast<float>(bytes.byte()) / 255.0F);
    }
    const NvDsInferNetworkInfo network = {8U * (bytes.byte() % 9), 8U * (bytes.byte() % 9), 3};
    std::vector<NvDsInferLayerInfo> layers(bytes.byte() % 4);
    std::vector<std::string> names(layers.size());
    std::vector<std::vector<float>> buffers(layers.size());
    for (std::size_t index = 0; index < layers.size(); ++index) {
        NvDsInferLayerInfo& layer = layers[index];
        const std::uint8_t kind = bytes.byte();
        layer = {};
        if ((flags & 32) != 0) {
            fit(layer, kind, bytes.byte(), network, parameters.numClassesConfigured);
        } else {
            name_and_shape(layer, names[index], kind, flags, bytes);
        }
        buffers[index].resize(layer.inferDims.numElements <= MOST_VALUES ? layer.inferDims.numElements : 0);
        layer.buffer = buffers[index].empty() ? nullptr : buffers[index].data();
    }
    bytes.wrap_here();
    for (std::vector<float>& buffer : buffers) {
        for (float& value : buffer) {
            value = bytes.value((flags & 8) != 0);
        }
    }
    std::vector<NvDsInferParseObjectInfo> objects;
    const auto function = (flags & 16) != 0 ? NvDsInferParseYoloMultiLabel : NvDsInferParseYolo;
    const bool parsed = function(layers, network, parameters, objects);
    require(parsed || objects.empty(), "objects of an output that was refused");
    check(objects, network, parameters);
    return 0;
}
