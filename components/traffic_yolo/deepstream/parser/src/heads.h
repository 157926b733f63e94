// Reads the raw heads of the network: logits as they enter its [yolo] sections, which the parser decodes by Darknet's
// rules. What a section's cfg says stands in the output's name, so that a model can have no other model's anchors.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nvdsinfer_custom_impl.h"
#include "output_layer.h"

namespace traffic_yolo {

// One box, its best class (as DeepStream-Yolo reports), or every class above the threshold (as Darknet does).
enum class Labels { kBest, kAll };

// What the name of an output says of its [yolo] section. Anchors (width, height) in network pixels, those of the mask.
struct Head {
    unsigned int stride;
    double scale_x_y;
    bool new_coords;
    std::vector<std::pair<double, double>> anchors;
};

// Whether the name is that of a head.
bool is_head(const std::string& name);

// Reads "yolo/stride=8/scale_x_y=1.05/new_coords=0/anchors=12x16,19x36"; throws ParseError for anything else.
Head head_of(const std::string& name);

// Logits (A * (5 + C), H / stride, W / stride) -> objects, by cell (row by row), anchor, class.
//
// kBest: the class with the largest logit, kept where objectness * its probability is at least the threshold of the
// class. kAll: every class with objectness and product above its threshold, both strictly (yolo_layer.c). Throws
// ParseError for a shape that does not fit, and for values that are not finite.
void parse_head(const Tensor& logits, Labels labels, const NvDsInferNetworkInfo& network,
                const NvDsInferParseDetectionParams& parameters, std::vector<NvDsInferParseObjectInfo>& objects);

}  // namespace traffic_yolo
