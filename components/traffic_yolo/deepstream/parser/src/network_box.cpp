#include "network_box.h"

#include <algorithm>
#include <cmath>

#include "output_layer.h"

namespace traffic_yolo {

void add_object(const Box& box, float score, unsigned int class_id, const NvDsInferNetworkInfo& network,
                std::vector<NvDsInferParseObjectInfo>& objects) {
    if (!std::isfinite(box.left + box.top + box.right + box.bottom + score)) {
        throw ParseError("a box above the threshold holds NaN or infinity; the weights are broken, or the precision is "
                         "too low for the decoding of boxes");
    }
    const auto width = static_cast<float>(network.width);
    const auto height = static_cast<float>(network.height);
    NvDsInferParseObjectInfo object = {};  // DeepStream 9 added a rotation: a member left as it was tilts boxes
    object.left = std::clamp(box.left, 0.0F, width);
    object.top = std::clamp(box.top, 0.0F, height);
    object.width = std::clamp(std::clamp(box.right, 0.0F, width) - object.left, 0.0F, width);
    object.height = std::clamp(std::clamp(box.bottom, 0.0F, height) - object.top, 0.0F, height);
    if (object.width < 1 || object.height < 1) {
        return;
    }
    object.detectionConfidence = score;
    object.classId = class_id;
    objects.push_back(object);
}

}  // namespace traffic_yolo
