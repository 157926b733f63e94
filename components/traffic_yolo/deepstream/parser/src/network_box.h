// From a box in network pixels to an object of nvinfer, by the rules of DeepStream-Yolo's parser.
#pragma once

#include <vector>

#include "nvdsinfer_custom_impl.h"

namespace traffic_yolo {

// Corners in network pixels.
struct Box {
    float left;
    float top;
    float right;
    float bottom;
};

// Adds the box, cut at the network's edges, unless less than a pixel of width or height is left. Throws ParseError for
// values that are not finite: the network is broken, or its arithmetic overflows.
void add_object(const Box& box, float score, unsigned int class_id, const NvDsInferNetworkInfo& network,
                std::vector<NvDsInferParseObjectInfo>& objects);

}  // namespace traffic_yolo
