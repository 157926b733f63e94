#include "heads.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <locale>
#include <sstream>
#include <string_view>

#include "network_box.h"

namespace traffic_yolo {

namespace {

constexpr std::string_view PREFIX = "yolo/";
constexpr std::size_t MOST_ANCHORS = 64;
constexpr std::size_t CELLS_IN_BLOCK = 64;  // so that a block of all anchors and classes stays in the cache
constexpr double MARGIN = 1e-3;             // of logits; what lies within is decided by the numbers themselves

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// The logit below which a probability is surely not above `threshold`.
float lowest_logit(double threshold) {
    if (!(threshold > 0)) {
        return -std::numeric_limits<float>::infinity();
    }
    const double below_one = std::min(threshold, 1 - 1e-9);
    return static_cast<float>(std::log(below_one / (1 - below_one)) - MARGIN);
}

class NameReader {
  public:
    explicit NameReader(const std::string& name) : name_(name), rest_(name) {}

    void expect(std::string_view text) {
        if (rest_.substr(0, text.size()) != text) {
            fail();
        }
        rest_.remove_prefix(text.size());
    }

    // In the C locale, whatever the program's: a decimal comma would read another anchor.
    template <typename Number>
    Number number() {
        const std::size_t length = std::min(rest_.find_first_not_of("0123456789.e+-"), rest_.size());
        std::istringstream text{std::string(rest_.substr(0, length))};
        text.imbue(std::locale::classic());
        Number value{};
        if (!(text >> value) || text.peek() != std::istringstream::traits_type::eof() || rest_.front() == '-') {
            fail();
        }
        rest_.remove_prefix(length);
        return value;
    }

    bool skip(char expected) {
        const bool found = !rest_.empty() && rest_.front() == expected;
        rest_.remove_prefix(found ? 1 : 0);
        return found;
    }

    [[nodiscard]] bool at_end() const { return rest_.empty(); }

    [[noreturn]] void fail() const {
        throw ParseError("output '" + name_ + "': expected a name such as " +
                         "yolo/stride=8/scale_x_y=1.05/new_coords=0/anchors=12x16,19x36");
    }

  private:
    const std::string& name_;
    std::string_view rest_;
};

// One head's memory and numbers, in the types that the loops want.
struct Layout {
    const float* values;
    std::size_t rows, columns, area, anchors, classes, entries;
    float stretch, shift;                        // of the offsets in a cell
    std::vector<float> anchor_width, anchor_height;
    bool new_coords;
    NvDsInferNetworkInfo network;

    // The first value of an anchor's box in a cell; its other values are `area` apart.
    [[nodiscard]] std::size_t place(std::size_t anchor, std::size_t cell) const {
        return anchor * entries * area + cell;
    }
    [[nodiscard]] float probability(float value) const { return new_coords ? value : sigmoid(value); }
    [[nodiscard]] float lowest(double threshold) const {
        return new_coords ? static_cast<float>(threshold - 1e-6) : lowest_logit(threshold);
    }

    // In the order of operations of the exported graph, in float32.
    [[nodiscard]] Box box(std::size_t anchor, std::size_t cell) const {
        const float* first = values + place(anchor, cell);
        const float x = probability(first[0]) * stretch - shift + static_cast<float>(cell % columns);
        const float y = probability(first[area]) * stretch - shift + static_cast<float>(cell / columns);
        const float w = first[2 * area];
        const float h = first[3 * area];
        const auto input_width = static_cast<float>(network.width);
        const auto input_height = static_cast<float>(network.height);
        const float centre_x = x / static_cast<float>(columns);
        const float centre_y = y / static_cast<float>(rows);
        const float width = (new_coords ? w * w * 4 : std::exp(w)) * anchor_width[anchor] / input_width;
        const float height = (new_coords ? h * h * 4 : std::exp(h)) * anchor_height[anchor] / input_height;
        return {(centre_x - width / 2) * input_width, (centre_y - height / 2) * input_height,
                (centre_x + width / 2) * input_width, (centre_y + height / 2) * input_height};
    }
};

Layout layout_of(const Tensor& logits, const Head& head, const NvDsInferNetworkInfo& network, std::size_t classes) {
    std::vector<std::size_t> shape = logits.shape;
    if (shape.size() == 4 && shape[0] == 1) {
        shape.erase(shape.begin());
    }
    const std::size_t entries = 5 + classes;
    const std::vector<std::size_t> expected = {head.anchors.size() * entries, network.height / head.stride,
                                               network.width / head.stride};
    if (shape != expected || network.height % head.stride != 0 || network.width % head.stride != 0) {
        throw ParseError("output '" + logits.name + "': expected " + text_of(expected) + " for " +
                         std::to_string(classes) + " classes (num-detected-classes) and an input of " +
                         std::to_string(network.width) + " x " + std::to_string(network.height) + ", found " +
                         text_of(logits.shape));
    }
    Layout layout{logits.values, shape[1], shape[2], shape[1] * shape[2], head.anchors.size(), classes, entries,
                  static_cast<float>(head.scale_x_y), static_cast<float>(0.5 * (head.scale_x_y - 1)), {}, {},
                  head.new_coords, network};
    for (const auto& [width, height] : head.anchors) {
        layout.anchor_width.push_back(static_cast<float>(width));
        layout.anchor_height.push_back(static_cast<float>(height));
    }
    return layout;
}

// One class of some cells against the best one so far. The pointers are apart, so that the loop becomes vectors.
void take_better(const float* __restrict values, std::int32_t class_id, std::size_t count, float* __restrict best,
                 std::int32_t* __restrict label, float* __restrict zeros) {
    for (std::size_t cell = 0; cell < count; ++cell) {
        const float value = values[cell];
        const std::int32_t old_label = label[cell];
        const float old_best = best[cell];
        zeros[cell] += value * 0.0F;
        const std::int32_t better = -static_cast<std::int32_t>(value > old_best);  // all bits or none: no branch
        label[cell] = (class_id & better) | (old_label & ~better);
        best[cell] = std::max(old_best, value);
    }
}

// Some neighbouring cells of all anchors: planes are read in order, a row of cells at a time, which the compiler turns
// into vectors; and what is read stays in the cache. Boxes are reported by cell, anchor and class, as Darknet lists them.
class Block {
  public:
    Block(const Layout& layout, const std::vector<float>& thresholds, std::vector<NvDsInferParseObjectInfo>& objects)
        : layout_(layout),
          thresholds_(thresholds),
          lowest_(*std::min_element(thresholds.begin(), thresholds.begin() + static_cast<std::ptrdiff_t>(layout.classes))),
          objects_(objects),
          anchors_(layout.anchors) {}

    void parse(std::size_t first, std::size_t count, Labels labels) {
        first_ = first;
        count_ = count;
        hits_.clear();
        bool any = false;
        for (std::size_t anchor = 0; anchor < layout_.anchors; ++anchor) {
            if (find_candidates(anchor)) {
                any = true;
                labels == Labels::kBest ? find_best(anchor) : find_hits(anchor);
                check_classes(anchor);
            }
        }
        if (any && labels == Labels::kBest) {
            add_best();
        } else if (any) {
            add_hits();
        }
    }

  private:
    struct OfAnchor {
        bool is_candidate[CELLS_IN_BLOCK];
        float objectness[CELLS_IN_BLOCK];
        float best[CELLS_IN_BLOCK];     // logit of the best class; of kAll: the logit below which no class does
        std::int32_t label[CELLS_IN_BLOCK];
        float zeros[CELLS_IN_BLOCK];    // stay 0 unless a class's value is not finite
    };
    struct Hit {
        std::uint32_t slot, class_id;  // slot: cell of the block * anchors + anchor
    };

    [[nodiscard]] const float* plane(std::size_t anchor, std::size_t entry) const {
        return layout_.values + layout_.place(anchor, first_) + entry * layout_.area;
    }

    // Whether the objectness of any cell may do; fills `is_candidate` and `objectness`.
    bool find_candidates(std::size_t anchor) {
        OfAnchor& found = anchors_[anchor];
        const float* values = plane(anchor, 4);
        const float lowest = layout_.lowest(lowest_);
        int number = 0;
        for (std::size_t cell = 0; cell < count_; ++cell) {
            found.is_candidate[cell] = !(values[cell] < lowest);  // NaN is one, to be refused below
            number += found.is_candidate[cell] ? 1 : 0;
        }
        for (std::size_t cell = 0; number != 0 && cell < count_; ++cell) {
            if (!found.is_candidate[cell]) {
                continue;
            }
            if (!std::isfinite(values[cell])) {
                throw ParseError("the objectness of a box is NaN or infinite; the weights are broken");
            }
            found.objectness[cell] = layout_.probability(values[cell]);
        }
        return number != 0;
    }

    void find_best(std::size_t anchor) {
        OfAnchor& found = anchors_[anchor];
        std::fill_n(found.best, count_, -std::numeric_limits<float>::infinity());
        std::fill_n(found.label, count_, 0);
        std::fill_n(found.zeros, count_, 0.0F);
        for (std::size_t class_id = 0; class_id < layout_.classes; ++class_id) {
            take_better(plane(anchor, 5 + class_id), static_cast<std::int32_t>(class_id), count_, found.best, found.label,
                        found.zeros);
        }
    }

    void find_hits(std::size_t anchor) {
        OfAnchor& found = anchors_[anchor];
        std::fill_n(found.zeros, count_, 0.0F);
        for (std::size_t cell = 0; cell < count_; ++cell) {
            found.best[cell] = found.is_candidate[cell]
                                   ? layout_.lowest(lowest_ / std::max(found.objectness[cell], 1e-30F))
                                   : std::numeric_limits<float>::infinity();
        }
        for (std::size_t class_id = 0; class_id < layout_.classes; ++class_id) {
            const float* values = plane(anchor, 5 + class_id);
            std::int32_t number = 0;
            for (std::size_t cell = 0; cell < count_; ++cell) {
                found.zeros[cell] += values[cell] * 0.0F;
                number += values[cell] >= found.best[cell] ? 1 : 0;
            }
            for (std::size_t cell = 0; number != 0 && cell < count_; ++cell) {
                if (values[cell] >= found.best[cell]) {
                    hits_.push_back({static_cast<std::uint32_t>(cell * layout_.anchors + anchor),
                                     static_cast<std::uint32_t>(class_id)});
                    --number;
                }
            }
        }
    }

    void check_classes(std::size_t anchor) const {
        const OfAnchor& found = anchors_[anchor];
        for (std::size_t cell = 0; cell < count_; ++cell) {
            if (found.is_candidate[cell] && !(found.zeros[cell] == 0)) {
                throw ParseError("class scores are NaN or infinite; the weights are broken");
            }
        }
    }

    void add_best() {
        for (std::size_t cell = 0; cell < count_; ++cell) {
            for (std::size_t anchor = 0; anchor < layout_.anchors; ++anchor) {
                const OfAnchor& found = anchors_[anchor];
                if (!found.is_candidate[cell]) {
                    continue;
                }
                const auto label = static_cast<unsigned int>(found.label[cell]);
                const float score = found.objectness[cell] * layout_.probability(found.best[cell]);
                if (!(score < thresholds_[label])) {
                    add_object(layout_.box(anchor, first_ + cell), score, label, layout_.network, objects_);
                }
            }
        }
    }

    void add_hits() {
        std::size_t starts[CELLS_IN_BLOCK * MOST_ANCHORS + 1] = {};
        for (const Hit& hit : hits_) {
            ++starts[hit.slot + 1];
        }
        for (std::size_t slot = 0; slot < count_ * layout_.anchors; ++slot) {
            starts[slot + 1] += starts[slot];
        }
        sorted_.resize(hits_.size());
        for (const Hit& hit : hits_) {
            sorted_[starts[hit.slot]++] = hit;
        }
        for (const Hit& hit : sorted_) {
            const std::size_t cell = hit.slot / layout_.anchors;
            const std::size_t anchor = hit.slot % layout_.anchors;
            const float objectness = anchors_[anchor].objectness[cell];
            const float score = objectness * layout_.probability(plane(anchor, 5 + hit.class_id)[cell]);
            const float threshold = thresholds_[hit.class_id];
            if (objectness > threshold && score > threshold) {
                add_object(layout_.box(anchor, first_ + cell), score, hit.class_id, layout_.network, objects_);
            }
        }
    }

    const Layout& layout_;
    const std::vector<float>& thresholds_;
    double lowest_;
    std::vector<NvDsInferParseObjectInfo>& objects_;
    std::vector<OfAnchor> anchors_;
    std::vector<Hit> hits_, sorted_;
    std::size_t first_ = 0, count_ = 0;
};

}  // namespace

bool is_head(const std::string& name) { return name.compare(0, PREFIX.size(), PREFIX) == 0; }

Head head_of(const std::string& name) {
    NameReader reader(name);
    Head head{};
    reader.expect("yolo/stride=");
    head.stride = reader.number<unsigned int>();
    reader.expect("/scale_x_y=");
    head.scale_x_y = reader.number<double>();
    reader.expect("/new_coords=");
    const auto new_coords = reader.number<unsigned int>();
    head.new_coords = new_coords == 1;
    reader.expect("/anchors=");
    do {
        const auto width = reader.number<double>();
        reader.expect("x");
        const auto height = reader.number<double>();
        head.anchors.emplace_back(width, height);
        if (!(width > 0 && height > 0 && std::isfinite(width + height)) || head.anchors.size() > MOST_ANCHORS) {
            reader.fail();
        }
    } while (reader.skip(','));
    if (!reader.at_end() || head.stride == 0 || new_coords > 1 || !(std::abs(head.scale_x_y) < 100)) {
        reader.fail();
    }
    return head;
}

void parse_head(const Tensor& logits, Labels labels, const NvDsInferNetworkInfo& network,
                const NvDsInferParseDetectionParams& parameters, std::vector<NvDsInferParseObjectInfo>& objects) {
    const std::vector<float>& thresholds = checked_thresholds(parameters);
    const unsigned int classes = parameters.numClassesConfigured;
    const Layout layout = layout_of(logits, head_of(logits.name), network, classes);
    Block block(layout, thresholds, objects);
    for (std::size_t first = 0; first < layout.area; first += CELLS_IN_BLOCK) {
        block.parse(first, std::min(CELLS_IN_BLOCK, layout.area - first), labels);
    }
}

}  // namespace traffic_yolo
