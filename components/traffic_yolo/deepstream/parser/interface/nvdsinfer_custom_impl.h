// The part of nvinfer's interface that a detector's parser needs, so that the parser can be built and tested without
// DeepStream. Written from the interface that NVIDIA publishes (DeepStream 9.1): the names and the order of the members
// are that interface. In an image that has DeepStream the parser is built against DeepStream's own header of this name.
#pragma once

#include <string>
#include <vector>

constexpr unsigned int NVDSINFER_MAX_DIMS = 8;

// Without the dimension of the batch.
struct NvDsInferDims {
    unsigned int numDims;
    unsigned int d[NVDSINFER_MAX_DIMS];
    unsigned int numElements;
};

enum NvDsInferDataType { FLOAT = 0, HALF = 1, INT8 = 2, INT32 = 3, INT64 = 4, UINT8 = 5 };

struct NvDsInferLayerInfo {
    NvDsInferDataType dataType;
    NvDsInferDims inferDims;
    int bindingIndex;
    const char* layerName;
    void* buffer;
    int isInput;
};

struct NvDsInferNetworkInfo {
    unsigned int width;
    unsigned int height;
    unsigned int channels;
};

// Boxes in network pixels; `rotation_angle` in radians came with DeepStream 9.
struct NvDsInferObjectDetectionInfo {
    unsigned int classId;
    float left;
    float top;
    float width;
    float height;
    float detectionConfidence;
    float rotation_angle;
};
using NvDsInferParseObjectInfo = NvDsInferObjectDetectionInfo;

struct NvDsInferParseDetectionParams {
    unsigned int numClassesConfigured;
    std::vector<float> perClassPreclusterThreshold;
    std::vector<float> perClassPostclusterThreshold;
};

using NvDsInferParseCustomFunc = bool (*)(std::vector<NvDsInferLayerInfo> const&, NvDsInferNetworkInfo const&,
                                          NvDsInferParseDetectionParams const&,
                                          std::vector<NvDsInferObjectDetectionInfo>&);

// Refuses to compile where a function has not the type that nvinfer calls.
#define CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(function) \
    [[maybe_unused]] static constexpr NvDsInferParseCustomFunc checked_##function = function
