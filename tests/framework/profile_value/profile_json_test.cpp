#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "millrace/errors.hpp"
#include "millrace/profile.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// Every field of the format.
json full_document() {
  return json::parse(R"({
    "format": "millrace-costs", "version": 1, "model": "net", "training": true,
    "samples": [1, 8],
    "kinds": [{"name": "big", "count": 4, "memory_bytes": null, "link_ns_per_byte": 0.0,
               "link_latency_ns": 0},
              {"name": "gpu", "count": 1, "memory_bytes": 1073741824.5, "link_ns_per_byte": 0.25,
               "link_latency_ns": 5000}],
    "shared_memory_bytes": 2147483648, "bytes_per_weight_byte": 2.5, "transfers": "overlapped",
    "layers": [
      {"name": "conv", "type": "conv2d", "forward_ns": {"big": [10, 70.5], "gpu": [5, 20]},
       "backward_ns": {"big": [20, 140], "gpu": [11, 39]}, "update_ns": {"big": 7},
       "weights_bytes": 93184, "saved_bytes": 774400, "deferred_bytes": 100,
       "workspace_bytes": 4096, "workspace_bytes_per_sample": 12.5,
       "splits": ["samples", "threads", "features"],
       "threads_ns": {"forward": {"big": {"2": [6, 40], "4": [4, 25]}},
                      "backward": {"big": {"2": [12, 80], "4": [8, 50]}}},
       "features_ns": {"forward": {"big": {"2": [7, 41]}}, "backward": {"big": {"2": [13, 81]}}},
       "loaded": {"big": 1.18}, "spread_percent": 2.5, "implementation": {"big": "torch"}},
      {"name": "relu", "type": "relu", "forward_ns": {"big": [0, 0]}, "backward_ns": {"big": [0, 0]},
       "weights_bytes": 0, "saved_bytes": 0.5}],
    "tensors": [{"from": "conv", "to": ["relu"], "bytes": 774400, "pass": "forward"},
                {"from": "relu", "to": ["conv"], "bytes": 0, "pass": "backward"}],
    "loader_ns_per_sample": 1000000})");
}

std::string error_of(const std::string& text) {
  try {
    profile_from_json(text, "costs.json");
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.tag(), "costs");
    return error.what();
  }
  return "";
}

/// The error after one value of the full document was replaced.
std::string error_with(const std::string& pointer, const json& value) {
  json document = full_document();
  document[json::json_pointer(pointer)] = value;
  return error_of(document.dump());
}

std::string error_without(const std::string& parent, const std::string& key) {
  json document = full_document();
  document[json::json_pointer(parent)].erase(key);
  return error_of(document.dump());
}

TEST(ProfileJson, ReadsEveryField) {
  const Profile profile = profile_from_json(full_document().dump(), "costs.json");
  EXPECT_EQ(profile.model, "net");
  EXPECT_TRUE(profile.training);
  EXPECT_EQ(profile.samples, (std::vector<std::int64_t>{1, 8}));
  ASSERT_EQ(profile.kinds.size(), 2u);
  EXPECT_FALSE(profile.kinds[0].memory_bytes);
  EXPECT_EQ(profile.kinds[1].memory_bytes, 1073741824.5);
  EXPECT_EQ(profile.kinds[1].link_ns_per_byte, 0.25);
  EXPECT_EQ(profile.shared_memory_bytes, 2147483648.0);
  EXPECT_EQ(profile.bytes_per_weight_byte, 2.5);
  EXPECT_TRUE(profile.overlapped_transfers);
  const LayerCosts& conv = profile.layers.at(0);
  EXPECT_EQ(conv.forward_ns.at("big"), (std::vector<double>{10, 70.5}));
  EXPECT_EQ(conv.backward_ns.at("gpu"), (std::vector<double>{11, 39}));
  EXPECT_EQ(conv.update_ns.at("big"), 7);
  EXPECT_EQ(conv.threads_ns->backward.at("big").at(4), (std::vector<double>{8, 50}));
  EXPECT_EQ(conv.features_ns->forward.at("big").at(2), (std::vector<double>{7, 41}));
  EXPECT_EQ(conv.loaded.at("big"), 1.18);
  EXPECT_EQ(conv.implementation.at("big"), "torch");
  EXPECT_EQ(profile.layers.at(1).saved_bytes, 0.5);
  EXPECT_TRUE(profile.tensors.at(1).backward);
  EXPECT_EQ(profile.loader_ns_per_sample, 1e6);
}

TEST(ProfileJson, RoundTripsToTheSameValueAndBytes) {
  const Profile profile = profile_from_json(full_document().dump(), "costs.json");
  const std::string text = to_json(profile);
  EXPECT_EQ(profile_from_json(text, "costs.json"), profile);
  EXPECT_EQ(to_json(profile_from_json(text, "costs.json")), text);
}

TEST(ProfileJson, WhatIsAbsentHasTheDocumentedDefault) {
  const Profile profile = profile_from_json(R"({
    "format": "millrace-costs", "version": 1, "model": "net", "samples": [1],
    "kinds": [{"name": "core", "count": 2}],
    "layers": [{"name": "a", "forward_ns": {"core": [1]}, "backward_ns": {"core": [2]},
                "weights_bytes": 4, "saved_bytes": 8}],
    "tensors": []})",
                                            "costs.json");
  EXPECT_TRUE(profile.training);
  EXPECT_FALSE(profile.shared_memory_bytes);
  EXPECT_EQ(profile.bytes_per_weight_byte, 3);
  EXPECT_FALSE(profile.overlapped_transfers);
  EXPECT_EQ(profile.kinds[0].link_latency_ns, 0);
  EXPECT_TRUE(profile.layers[0].splits.empty());
}

TEST(ProfileJson, InferenceHasNoTrainingCosts) {
  const json document = json::parse(R"({
    "format": "millrace-costs", "version": 1, "model": "net", "training": false, "samples": [1],
    "kinds": [{"name": "core", "count": 2}],
    "layers": [{"name": "a", "forward_ns": {"core": [1]}, "weights_bytes": 4, "splits": ["threads"],
                "threads_ns": {"forward": {"core": {"2": [0.6]}}}}],
    "tensors": []})");
  const Profile profile = profile_from_json(document.dump(), "costs.json");
  EXPECT_EQ(profile.bytes_per_weight_byte, 1);
  EXPECT_EQ(profile_from_json(to_json(profile), "costs.json"), profile);
  json wrong = document;
  wrong["layers"][0]["backward_ns"] = {{"core", {2}}};
  EXPECT_THAT(error_of(wrong.dump()), HasSubstr("layers[0].backward_ns belongs to training"));
  wrong = document;
  wrong["layers"][0]["weight_gradient_ns"] = {{"core", {1}}};
  EXPECT_THAT(error_of(wrong.dump()), HasSubstr("weight_gradient_ns belongs to training"));
  wrong = document;
  wrong["layers"][0]["threads_ns"]["backward"] = {{"core", {{"2", {1}}}}};
  EXPECT_THAT(error_of(wrong.dump()), HasSubstr("threads_ns.backward belongs to training"));
}

TEST(ProfileJson, RefusesOtherDocuments) {
  EXPECT_THAT(error_of("{"), HasSubstr("costs.json: is not JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("an object is needed"));
  EXPECT_THAT(error_with("/format", "millrace-plan"), HasSubstr("format is \"millrace-plan\""));
  EXPECT_THAT(error_with("/version", 2), HasSubstr("version is 2, this program reads 1"));
  EXPECT_THAT(error_without("", "model"), HasSubstr("model is missing"));
  EXPECT_THAT(error_without("", "tensors"), HasSubstr("tensors is missing"));
  EXPECT_THAT(error_without("/layers/0", "weights_bytes"), HasSubstr("weights_bytes is missing"));
  EXPECT_THAT(error_without("/layers/0", "saved_bytes"), HasSubstr("saved_bytes is missing"));
}

TEST(ProfileJson, RefusesUnknownFields) {
  const auto unknown = [](const std::string& pointer) { return error_with(pointer, 1); };
  EXPECT_THAT(unknown("/cost"), HasSubstr("costs.json: cost is not a field"));
  EXPECT_THAT(unknown("/kinds/0/speed"), HasSubstr("kinds[0].speed is not a field"));
  EXPECT_THAT(unknown("/layers/1/foward_ns"), HasSubstr("layers[1].foward_ns is not a field"));
  EXPECT_THAT(unknown("/tensors/0/size"), HasSubstr("tensors[0].size is not a field"));
  EXPECT_THAT(unknown("/layers/0/threads_ns/update"),
              HasSubstr("threads_ns.update is not a field"));
}

TEST(ProfileJson, RefusesValuesOfTheWrongType) {
  EXPECT_THAT(error_with("/samples", {1.5}), HasSubstr("whole numbers"));
  EXPECT_THAT(error_with("/kinds/0/count", "four"), HasSubstr("kinds[0].count is \"four\""));
  EXPECT_THAT(error_with("/layers/0/forward_ns/big", {1, "x"}), HasSubstr("forward_ns.big holds"));
  EXPECT_THAT(error_with("/layers/0/splits", {1}), HasSubstr("splits holds 1"));
  EXPECT_THAT(error_with("/tensors/0/pass", "up"), HasSubstr("\"forward\" or \"backward\""));
  EXPECT_THAT(error_with("/transfers", "both"), HasSubstr("\"serial\" or \"overlapped\""));
  EXPECT_THAT(error_with("/layers/0/threads_ns/forward/big/two", {1, 2}),
              HasSubstr("threads_ns.forward.big.two is no number of devices"));
}

TEST(ProfileCheck, SampleCountsAscend) {
  EXPECT_THAT(error_with("/samples", json::array()), HasSubstr("samples is empty"));
  EXPECT_THAT(error_with("/samples", {8, 1}), HasSubstr("samples has 1 after 8"));
  EXPECT_THAT(error_with("/samples", {0, 8}), HasSubstr("samples has 0"));
}

TEST(ProfileCheck, KindsAreNamedOnceAndCounted) {
  EXPECT_THAT(error_with("/kinds", json::array()), HasSubstr("kinds is empty"));
  EXPECT_THAT(error_with("/kinds/1/name", "big"),
              HasSubstr("kinds[1].name \"big\" is there twice"));
  EXPECT_THAT(error_with("/kinds/0/name", ""), HasSubstr("kinds[0].name is empty"));
  EXPECT_THAT(error_with("/kinds/0/count", 0), HasSubstr("kinds[0].count is 0, at least 1"));
  EXPECT_THAT(error_with("/kinds/0/memory_bytes", -1), HasSubstr("kinds[0].memory_bytes is -1"));
  EXPECT_THAT(error_with("/kinds/0/link_ns_per_byte", -1), HasSubstr("link_ns_per_byte is -1"));
}

TEST(ProfileCheck, NumbersAreFiniteAndNotNegative) {
  for (const char* pointer :
       {"/shared_memory_bytes", "/bytes_per_weight_byte", "/layers/0/weights_bytes",
        "/layers/0/saved_bytes", "/layers/0/deferred_bytes", "/layers/0/workspace_bytes",
        "/layers/0/workspace_bytes_per_sample", "/layers/0/update_ns/big", "/layers/0/loaded/big",
        "/layers/0/spread_percent", "/tensors/0/bytes", "/loader_ns_per_sample"}) {
    EXPECT_THAT(error_with(pointer, -0.5), HasSubstr("is -0.5, a finite number of at least 0"))
        << pointer;
  }
  EXPECT_THAT(error_with("/layers/0/forward_ns/gpu", {1, -2}),
              HasSubstr("layers[0].forward_ns.gpu[1] is -2"));
  Profile profile = profile_from_json(full_document().dump(), "costs.json");
  profile.layers[0].backward_ns["big"][0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(check_profile(profile, "memory"), ConfigError);
  profile.layers[0].backward_ns["big"][0] = std::numeric_limits<double>::infinity();
  EXPECT_THROW(check_profile(profile, "memory"), ConfigError);
}

TEST(ProfileJson, RefusesNumbersThatAreTooLarge) {
  std::string text = full_document().dump();
  text.replace(text.find("774400"), 6, "1e999");
  EXPECT_THAT(error_of(text), HasSubstr("costs.json"));
}

TEST(ProfileCheck, EveryLayerHasItsCosts) {
  EXPECT_THAT(error_with("/layers", json::array()), HasSubstr("layers is empty"));
  EXPECT_THAT(error_with("/layers/1/name", "conv"), HasSubstr("\"conv\" is there twice"));
  EXPECT_THAT(error_with("/layers/1/name", ""), HasSubstr("layers[1].name is empty"));
  EXPECT_THAT(error_with("/layers/1/forward_ns", json::object()),
              HasSubstr("layers[1].forward_ns is empty: layer \"relu\" needs a cost"));
  EXPECT_THAT(error_with("/layers/0/forward_ns/big", {1}),
              HasSubstr("has 1 entries, samples has 2"));
  EXPECT_THAT(error_with("/layers/0/forward_ns/npu", {1, 2}), HasSubstr("kind \"npu\""));
  EXPECT_THAT(error_without("/layers/0/backward_ns", "gpu"),
              HasSubstr("layers[0].backward_ns has no costs on \"gpu\""));
  EXPECT_THAT(error_without("/layers/0/forward_ns", "gpu"),
              HasSubstr("layers[0].forward_ns has no costs on \"gpu\""));
  EXPECT_THAT(error_with("/layers/0/splits", {"rows"}), HasSubstr("splits has \"rows\""));
  EXPECT_THAT(error_with("/layers/0/threads_ns/forward/big/1", {1, 2}),
              HasSubstr("fewer than 2 devices"));
  EXPECT_THAT(error_with("/layers/0/implementation/npu", "x"), HasSubstr("kind \"npu\""));
}

/// The first layer's backward part in two, and not deferred.
json document_in_two_parts() {
  json document = full_document();
  json& conv = document["layers"][0];
  conv.erase("deferred_bytes");
  conv["input_gradient_ns"] = {{"big", {11, 80}}, {"gpu", {5, 19}}};
  conv["weight_gradient_ns"] = {{"big", {9, 70}}, {"gpu", {6, 20}}};
  conv["weight_gradient_bytes"] = 900;
  conv["threads_ns"]["input_gradient"] = {{"big", {{"2", {6, 40}}, {"4", {4, 30}}}}};
  conv["threads_ns"]["weight_gradient"] = {{"big", {{"2", {6, 45}}, {"4", {4, 25}}}}};
  return document;
}

TEST(ProfileJson, ABackwardPartInTwo) {
  const Profile profile = profile_from_json(document_in_two_parts().dump(), "costs.json");
  EXPECT_TRUE(profile.splits_backward());
  EXPECT_TRUE(profile.layers[0].splits_backward());
  EXPECT_FALSE(profile.layers[1].splits_backward());
  EXPECT_EQ(profile.layers[0].input_gradient_ns.at("gpu"), (std::vector<double>{5, 19}));
  EXPECT_EQ(profile.layers[0].weight_gradient_ns.at("big"), (std::vector<double>{9, 70}));
  EXPECT_EQ(profile.layers[0].weight_gradient_bytes, 900);
  EXPECT_EQ(profile.layers[0].threads_ns->weight_gradient.at("big").at(4),
            (std::vector<double>{4, 25}));
  const std::string text = to_json(profile);
  EXPECT_EQ(profile_from_json(text, "costs.json"), profile);
  EXPECT_EQ(to_json(profile_from_json(text, "costs.json")), text);
  EXPECT_FALSE(profile_from_json(full_document().dump(), "costs.json").splits_backward());
}

TEST(ProfileCheck, TheTwoPartsOfBackwardBelongTogether) {
  const auto error = [](const auto& change) {
    json document = document_in_two_parts();
    change(document["layers"][0]);
    return error_of(document.dump());
  };
  for (const char* part : {"input_gradient_ns", "weight_gradient_ns", "weight_gradient_bytes"})
    EXPECT_THAT(error([&](json& layer) { layer.erase(part); }),
                HasSubstr(std::string(part) + " is missing"));
  for (const char* part : {"input_gradient_ns", "weight_gradient_ns"}) {
    EXPECT_THAT(error([&](json& layer) { layer[part].erase("gpu"); }),
                HasSubstr(std::string(part) + " is for other kinds than backward_ns"));
    EXPECT_THAT(error([&](json& layer) {
                  layer[part]["npu"] = {1, 2};
                }),
                HasSubstr("kind \"npu\""));
    EXPECT_THAT(error([&](json& layer) {
                  layer[part]["gpu"] = {1, -2};
                }),
                HasSubstr(std::string(part) + ".gpu[1] is -2"));
  }
  EXPECT_THAT(error([](json& layer) { layer["weight_gradient_bytes"] = -1; }),
              HasSubstr("weight_gradient_bytes is -1"));
  EXPECT_THAT(error([](json& layer) {
                layer["weight_gradient_ns"]["big"] = {9, 59};
              }),
              HasSubstr("backward_ns.big[1] is 140, input and weight gradient apart take 80 + 59"));
  EXPECT_THAT(error([](json& layer) { layer["deferred_bytes"] = 1; }),
              HasSubstr("whose weight gradient is in the update"));
}

TEST(ProfileCheck, TheTwoPartsOfATeamsBackwardBelongTogether) {
  const auto error = [](const auto& change) {
    json document = document_in_two_parts();
    change(document["layers"][0]);
    return error_of(document.dump());
  };
  for (const char* part : {"input_gradient", "weight_gradient"}) {
    const std::string place = "threads_ns." + std::string(part);
    EXPECT_THAT(error([&](json& layer) { layer["threads_ns"].erase(part); }),
                HasSubstr(place + " is for other kinds or widths than backward"));
    EXPECT_THAT(error([&](json& layer) { layer["threads_ns"][part]["big"].erase("4"); }),
                HasSubstr(place + " is for other kinds or widths than backward"));
  }
  EXPECT_THAT(
      error([](json& layer) {
        layer["threads_ns"]["input_gradient"]["big"]["4"] = {3, 30};
      }),
      HasSubstr("threads_ns.backward.big.4[0] is 8, input and weight gradient apart take 3 + 4"));
  EXPECT_THAT(error([](json& layer) {
                layer["features_ns"]["input_gradient"] = layer["features_ns"]["backward"];
                layer["features_ns"]["weight_gradient"] = layer["features_ns"]["backward"];
              }),
              HasSubstr("features_ns.input_gradient has no meaning"));
}

TEST(ProfileCheck, TensorsJoinLayersThatAreThere) {
  EXPECT_THAT(error_with("/tensors/0/from", "cnv"),
              HasSubstr("tensors[0].from \"cnv\" is no layer"));
  EXPECT_THAT(error_with("/tensors/0/to", {"rel"}), HasSubstr("tensors[0].to \"rel\" is no layer"));
  EXPECT_THAT(error_with("/tensors/0/to", json::array()), HasSubstr("tensors[0].to is empty"));
}

TEST(ProfileCheck, ForwardTensorsFormNoCycle) {
  EXPECT_THAT(error_with("/tensors/1/pass", "forward"), HasSubstr("form a cycle"));
  EXPECT_THAT(error_with("/tensors/0/to", {"conv"}), HasSubstr("layer \"conv\""));
  EXPECT_EQ(error_with("/tensors/1/bytes", 7), "");  // a gradient is no cycle
}

}  // namespace
}  // namespace millrace
