// Reads the output of the exported ONNX file: rows of decoded boxes with one class each.
#pragma once

#include <vector>

#include "nvdsinfer_custom_impl.h"
#include "output_layer.h"

namespace traffic_yolo {

// Rows (N, 6) or (1, N, 6) of x1, y1, x2, y2, score, label -> objects in row order. A row stays whose score is at least
// the threshold of its class. Throws ParseError for another shape, a label that is no class, and values that are not
// finite.
void parse_rows(const Tensor& rows, const NvDsInferNetworkInfo& network,
                const NvDsInferParseDetectionParams& parameters, std::vector<NvDsInferParseObjectInfo>& objects);

}  // namespace traffic_yolo
