// One output of the network, its shape and type checked, so that what reads it stays within its buffer.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "nvdsinfer_custom_impl.h"

namespace traffic_yolo {

// What is wrong with an output or with the configuration: one line.
class ParseError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// A float32 tensor in the memory of nvinfer: `shape` without the batch, row major, `count` values at `values`.
struct Tensor {
    std::string name;
    std::vector<std::size_t> shape;
    std::size_t count;
    const float* values;
};

// The output as a tensor. Throws ParseError for another type than float32, a shape without values or that does not fit
// the stated number of values, and a missing buffer.
Tensor tensor_of(const NvDsInferLayerInfo& layer);

// "(3, 4)", for messages.
std::string text_of(const std::vector<std::size_t>& shape);

// The thresholds by class. Throws ParseError where there are fewer than classes, or no class at all.
const std::vector<float>& checked_thresholds(const NvDsInferParseDetectionParams& parameters);

}  // namespace traffic_yolo
