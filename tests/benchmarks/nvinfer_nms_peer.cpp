// nvinfer's suppression of one picture as compiled code: for each class a stable sort by score, then each box against
// the kept ones in turn until one overlaps it too much. The benchmark's peer for the loops of nvinfer_nms.py.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

struct Object {
    float left, top, width, height, score;
};

float iou(const Object& a, const Object& b) {
    const float across = std::min(a.left + a.width, b.left + b.width) - std::max(a.left, b.left);
    const float down = std::min(a.top + a.height, b.top + b.height) - std::max(a.top, b.top);
    const float shared = (across < 0 ? 0 : across) * (down < 0 ? 0 : down);
    const float all = a.width * a.height + b.width * b.height - shared;
    return all == 0 ? 0 : shared / all;
}

}  // namespace

// `rows` (n, 5): left, top, width, height, score; `kept` takes the indices, by class and falling score. Returns how many.
extern "C" std::int64_t nms_peer(const float* rows, const std::int64_t* class_ids, std::int64_t count,
                                 std::int64_t num_classes, float threshold, std::int64_t* kept) {
    std::vector<std::vector<Object>> by_class(static_cast<std::size_t>(num_classes));
    std::vector<std::vector<std::int64_t>> indices(by_class.size());
    for (std::int64_t row = 0; row < count; ++row) {
        const float* values = rows + 5 * row;
        by_class[static_cast<std::size_t>(class_ids[row])].push_back(
            {values[0], values[1], values[2], values[3], values[4]});
        indices[static_cast<std::size_t>(class_ids[row])].push_back(row);
    }
    std::int64_t end = 0;
    for (std::size_t class_id = 0; class_id < by_class.size(); ++class_id) {
        const std::vector<Object>& objects = by_class[class_id];
        std::vector<std::size_t> order(objects.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return objects[a].score > objects[b].score; });
        std::vector<std::size_t> stay;
        for (const std::size_t each : order) {
            if (std::none_of(stay.begin(), stay.end(),
                             [&](std::size_t other) { return iou(objects[each], objects[other]) > threshold; })) {
                stay.push_back(each);
                kept[end++] = indices[class_id][each];
            }
        }
    }
    return end;
}
