// The functions that nvinfer calls, by the names that a configuration's parse-bbox-func-name gives.

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "heads.h"
#include "nvdsinfer_custom_impl.h"
#include "output_layer.h"
#include "rows.h"

namespace {

using traffic_yolo::Labels;
using traffic_yolo::ParseError;
using traffic_yolo::Tensor;

void parse(const std::vector<NvDsInferLayerInfo>& layers, const NvDsInferNetworkInfo& network,
           const NvDsInferParseDetectionParams& parameters, Labels labels,
           std::vector<NvDsInferParseObjectInfo>& objects) {
    std::vector<Tensor> outputs;
    std::size_t heads = 0;
    std::string names;
    for (const NvDsInferLayerInfo& layer : layers) {
        outputs.push_back(traffic_yolo::tensor_of(layer));
        heads += traffic_yolo::is_head(outputs.back().name) ? 1 : 0;
        names += " '" + outputs.back().name + "'";
    }
    if (outputs.empty() || (heads == 0 && outputs.size() > 1) || (heads != 0 && heads != outputs.size())) {
        throw ParseError("expected one output of rows, or the heads of the network alone, found" +
                         (names.empty() ? " no output" : names));
    }
    if (heads == 0 && labels == Labels::kAll) {
        throw ParseError("output" + names + " has one class a box; every class above the threshold stands in the heads " +
                         "alone: give nvinfer an ONNX file of raw heads, or take NvDsInferParseYolo");
    }
    for (const Tensor& output : outputs) {
        if (heads == 0) {
            traffic_yolo::parse_rows(output, network, parameters, objects);
        } else {
            traffic_yolo::parse_head(output, labels, network, parameters, objects);
        }
    }
}

// nvinfer is C at this place: nothing may be thrown through it.
bool parse_safely(const char* function, const std::vector<NvDsInferLayerInfo>& layers,
                  const NvDsInferNetworkInfo& network, const NvDsInferParseDetectionParams& parameters, Labels labels,
                  std::vector<NvDsInferParseObjectInfo>& objects) noexcept {
    try {
        objects.clear();
        parse(layers, network, parameters, labels, objects);
        return true;
    } catch (const std::exception& error) {
        objects.clear();
        std::cerr << function << ": " << error.what() << std::endl;
    }
    return false;
}

}  // namespace

// One class a box, as DeepStream-Yolo's function of this name: rows of the ONNX file, or raw heads.
extern "C" bool NvDsInferParseYolo(std::vector<NvDsInferLayerInfo> const& outputLayersInfo,
                                   NvDsInferNetworkInfo const& networkInfo,
                                   NvDsInferParseDetectionParams const& detectionParams,
                                   std::vector<NvDsInferParseObjectInfo>& objectList) {
    return parse_safely("NvDsInferParseYolo", outputLayersInfo, networkInfo, detectionParams, Labels::kBest, objectList);
}

// Every class above its threshold, as Darknet: for evaluation, since one vehicle may come out twice. Raw heads alone.
extern "C" bool NvDsInferParseYoloMultiLabel(std::vector<NvDsInferLayerInfo> const& outputLayersInfo,
                                             NvDsInferNetworkInfo const& networkInfo,
                                             NvDsInferParseDetectionParams const& detectionParams,
                                             std::vector<NvDsInferParseObjectInfo>& objectList) {
    return parse_safely("NvDsInferParseYoloMultiLabel", outputLayersInfo, networkInfo, detectionParams, Labels::kAll,
                        objectList);
}

CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(NvDsInferParseYolo);
CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(NvDsInferParseYoloMultiLabel);
