#include "rows.h"

#include <algorithm>
#include <cmath>

#include "network_box.h"

namespace traffic_yolo {

namespace {

constexpr std::size_t COLUMNS = 6;

}  // namespace

void parse_rows(const Tensor& rows, const NvDsInferNetworkInfo& network,
                const NvDsInferParseDetectionParams& parameters, std::vector<NvDsInferParseObjectInfo>& objects) {
    const std::vector<std::size_t>& shape = rows.shape;
    const bool fits = shape.back() == COLUMNS && (shape.size() == 2 || (shape.size() == 3 && shape[0] == 1));
    if (!fits) {
        throw ParseError("output '" + rows.name + "': expected rows (N, 6) of x1, y1, x2, y2, score, label, found " +
                         text_of(shape));
    }
    const std::vector<float>& thresholds = checked_thresholds(parameters);
    const unsigned int classes = parameters.numClassesConfigured;
    const float lowest = *std::min_element(thresholds.begin(), thresholds.begin() + classes);
    for (const float* row = rows.values; row != rows.values + rows.count; row += COLUMNS) {
        const float score = row[4];
        const float label = row[5];
        if (score < lowest) {
            continue;
        }
        if (std::isnan(score)) {
            throw ParseError("output '" + rows.name + "': a score is NaN; the weights are broken");
        }
        // -1 < label: truncated as by DeepStream-Yolo; written so that NaN is refused
        if (!(label > -1 && label < static_cast<float>(classes))) {
            throw ParseError("output '" + rows.name + "' gives label " + std::to_string(label) +
                             ", but num-detected-classes is " + std::to_string(classes) +
                             "; write the configuration of this very model");
        }
        const auto class_id = static_cast<unsigned int>(std::max(label, 0.0F));
        if (score < thresholds[class_id]) {
            continue;
        }
        add_object({row[0], row[1], row[2], row[3]}, score, class_id, network, objects);
    }
}

}  // namespace traffic_yolo
