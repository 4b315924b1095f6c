#include "kernels/convolution/direct.hpp"

#include <omp.h>

#include <algorithm>
#include <functional>

#include "kernels/convolution/team.hpp"
#include "kernels/matrix/sizes.hpp"

namespace millrace::kernels {
namespace {

using Index = std::int64_t;

constexpr Index kBlockFloats = 1 << 18;   // padded images at a time: a core's second-level cache
constexpr Index kWeightFloats = 6 << 10;  // of a panel at a time: most of a first-level cache

/// The taps of one group as runs.
std::vector<Runs> runs_of(const ConvolutionShape& s, const DirectShape& d) {
  const Index most = std::max<Index>(kWeightFloats / d.parts->panel, 1);
  const Index channels = d.group_channels(), row = s.dilation_y * d.width * d.channels;
  std::vector<Runs> runs;
  const bool joined =
      d.parts->pixels > 1 || (s.dilation_x == 1 && s.groups == 1 && s.taps_x * channels <= most);
  const Index length = joined ? s.taps_x * channels : channels;
  const Index chunk = std::max<Index>(most / length, 1);
  const Index outer = joined ? 1 : s.taps_y, inner = joined ? s.taps_y : s.taps_x;
  const Index stride = joined ? row : s.dilation_x * d.channels;
  for (Index i = 0; i < outer; ++i)
    for (Index j = 0; j < inner; j += chunk)
      runs.push_back({i * row + j * stride, (i * inner + j) * length, std::min(chunk, inner - j),
                      stride, length});
  return runs;
}

/// The padded form of the forward pass.
DirectShape forward_shape(const ConvolutionShape& s) {
  DirectShape d;
  d.height = s.height + 2 * s.pad_y;
  d.width = s.width + 2 * s.pad_x;
  d.channels = s.channels;
  d.out_height = s.out_height();
  d.out_width = s.out_width();
  d.filters = s.filters;
  d.stride_y = s.stride_y;
  d.stride_x = s.stride_x;
  d.groups = s.groups;
  d.pad_y = s.pad_y;
  d.end_y = s.pad_y + s.height;
  d.pad_x = s.pad_x;
  return d;
}

/// dx as a convolution of dy with zeros between and around its pixels.
DirectShape gradient_shape(const ConvolutionShape& s) {
  DirectShape d;
  d.height = s.height + s.dilation_y * (s.taps_y - 1);
  d.width = s.width + s.dilation_x * (s.taps_x - 1);
  d.channels = s.filters;
  d.out_height = s.height;
  d.out_width = s.width;
  d.filters = s.channels;
  d.groups = s.groups;
  d.spread_y = s.stride_y;
  d.spread_x = s.stride_x;
  d.pad_y = s.dilation_y * (s.taps_y - 1) - s.pad_y;
  d.end_y = d.pad_y + (s.out_height() - 1) * s.stride_y + 1;
  d.pad_x = s.dilation_x * (s.taps_x - 1) - s.pad_x;
  return d;
}

struct TapPlace {
  Index tap, channel;
};

/// What inner index `inner` of a group stands for: the channels of a tap follow each other, with
/// planes the taps of a row in each channel do, so that they read the same floats.
TapPlace place_of(const DirectShape& d, Index inner) {
  const Index channels = d.group_channels();
  if (d.parts->pixels == 1) return {inner / channels, inner % channels};
  const Index row = inner / d.taps_x;
  return {row / channels * d.taps_x + inner % d.taps_x, row % channels};
}

DirectShape finished(DirectShape d, const ConvolutionShape& s) {
  const DirectParts* const planes = direct_planes(d, s.taps_y * s.taps_x);
  d.parts = planes ? planes : &direct_rows(d.group_filters());
  d.packed_width = round_up(d.out_width, d.parts->pixels);
  d.width += d.packed_width - d.out_width;  // the last vector of a row, too, reads no other row
  d.step_x = planes ? 1 : d.channels;
  d.step_channel = planes ? d.width : 1;
  d.block = std::clamp<Index>(kBlockFloats / d.image_floats(), 1, s.n);
  d.runs = runs_of(s, d);
  d.taps_x = s.taps_x;
  if (planes)
    for (Index inner = 0; inner < d.inner(); ++inner) {
      const auto [tap, channel] = place_of(d, inner);
      d.offsets.push_back(tap / s.taps_x * s.dilation_y * d.row_floats() +
                          tap % s.taps_x * s.dilation_x + channel * d.step_channel);
    }
  return d;
}

/// Row `row` of a padded image: the pixels of `image` [height, width], zeros around and between.
void pad_row(const DirectShape& d, Index height, Index width, const ImageView& image, Index row,
             float* padded) {
  float* out = padded + row * d.width * d.channels;
  std::fill_n(out, d.width * d.channels, 0.0F);
  const Index y = row - d.pad_y;
  if (y < 0 || y % d.spread_y != 0 || y / d.spread_y >= height) return;
  const float* in = image.data + y / d.spread_y * image.row;
  out += d.pad_x * d.step_x;
  const bool dense = image.channel == 1 || d.channels == 1;  // whatever the stride of one channel
  if (dense && image.column == d.channels && d.step_x == d.channels && d.spread_x == 1) {
    std::copy_n(in, width * d.channels, out);
    return;
  }
  if (dense && d.step_x == 1 && d.spread_x == 1)
    transpose(in, image.column, width, d.channels, out, d.step_channel);
  else if (d.step_x == 1)
    for (Index c = 0; c < d.channels; ++c, in += image.channel, out += d.step_channel)
      for (Index x = 0; x < width; ++x) out[x * d.spread_x] = in[x * image.column];
  else
    for (Index x = 0; x < width; ++x, in += image.column, out += d.spread_x * d.channels)
      for (Index c = 0; c < d.channels; ++c) out[c] = in[c * image.channel];
}

/// Images first … first + count - 1, on the team.
void pad_images(const DirectShape& d, Index height, Index width, const ImageView& images,
                Index first, Index count, float* padded) {
  share(count * d.height, 16, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      ImageView image = images;
      image.data += (first + row / d.height) * images.sample;
      pad_row(d, height, width, image, row % d.height, padded + row / d.height * d.image_floats());
    }
  });
}

/// Rows of the output that pass by a panel's weights together: they then stay in a second-level
/// cache, the weights of all panels need not; with planes, rows of several images go together. Four
/// shares or more for each thread of the team.
Index rows_at_once(const DirectShape& d, Index rows) {
  const Index most = d.parts->pixels > 1 ? 64 : 16;
  return std::min(ceil_div(rows, 4 * omp_get_num_threads()), most);
}

/// Where the weight of lane `lane` and inner index (tap, channel) of `group` lies in w [filters,
/// channels / groups, taps]; `turned`: filters and channels exchanged, taps from the end.
struct WeightOrder {
  Index group_filters, group_channels, taps;
  bool turned;

  Index at(Index group, Index lane, Index tap, Index channel) const {
    const Index filter = group * group_filters + (turned ? channel : lane);
    return (filter * group_channels + (turned ? lane : channel)) * taps +
           (turned ? taps - 1 - tap : tap);
  }
};

WeightOrder order_of(const ConvolutionShape& s, bool turned) {
  return {s.filters / s.groups, s.channels / s.groups, s.taps_y * s.taps_x, turned};
}

/// Calls body(index in the panels, index in w or -1) for inner indices of one panel.
template <typename Body>
void for_each_weight(const DirectShape& d, const WeightOrder& order, Index panel_index, Index panel,
                     const Body& body) {
  const Index panels = ceil_div(d.group_filters(), panel);
  const Index group = panel_index / panels, first = panel_index % panels * panel;
  for (Index inner = 0; inner < d.inner(); ++inner) {
    const auto [tap, channel] = place_of(d, inner);
    for (Index lane = 0; lane < panel; ++lane)
      body((panel_index * d.inner() + inner) * panel + lane,
           first + lane < d.group_filters() ? order.at(group, first + lane, tap, channel) : -1);
  }
}

}  // namespace

std::optional<DirectConvolution> DirectConvolution::make(const ConvolutionShape& s) {
  if (s.out_height() < 1 || s.out_width() < 1) return std::nullopt;
  if (s.pad_y > s.dilation_y * (s.taps_y - 1) || s.pad_x > s.dilation_x * (s.taps_x - 1))
    return std::nullopt;
  return DirectConvolution(s);
}

DirectConvolution::DirectConvolution(const ConvolutionShape& s)
    : shape_(s),
      forward_(finished(forward_shape(s), s)),
      gradient_(finished(gradient_shape(s), s)) {}

Index DirectConvolution::panels(const DirectShape& d) const {
  return d.groups * ceil_div(d.group_filters(), d.parts->panel);
}

Index DirectConvolution::weight_floats(const DirectShape& d) const {
  return round_up(panels(d) * d.inner() * d.parts->panel, kLineFloats);
}

bool DirectConvolution::reads_gradients_unpacked() const {
  return forward_.parts->pixels == 1 && forward_.groups == 1 &&
         forward_.parts->panel == forward_.filters;
}

Index DirectConvolution::packed_floats() const {
  const DirectShape& d = forward_;
  if (reads_gradients_unpacked()) return 0;
  return d.block * d.out_height * d.packed_width * panels(d) * d.parts->panel;
}

std::int64_t DirectConvolution::workspace_floats() const {
  const auto images = [](const DirectShape& d) {
    return round_up(d.block * d.image_floats(), kLineFloats);
  };
  return std::max(weight_floats(forward_) + images(forward_) + packed_floats(),
                  weight_floats(gradient_) + images(gradient_));
}

void DirectConvolution::run(const DirectShape& d, const ImageView& in, bool turned, const float* w,
                            const Finish& finish, float* out, float* workspace) const {
  float* const padded = workspace + weight_floats(d);
  const Index height = turned ? shape_.out_height() : shape_.height;
  const Index width = turned ? shape_.out_width() : shape_.width;
  const WeightOrder order = order_of(shape_, turned);
#pragma omp parallel
  {
    std::vector<float> row(static_cast<std::size_t>(d.out_width * d.parts->panel));
    share(panels(d), 1, [&](Index panel, Index) {
      for_each_weight(d, order, panel, d.parts->panel,
                      [&](Index to, Index from) { workspace[to] = from < 0 ? 0.0F : w[from]; });
    });
    for (Index first = 0; first < shape_.n; first += d.block) {
      const Index images = std::min(d.block, shape_.n - first);
      pad_images(d, height, width, in, first, images, padded);
      const Index rows = images * d.out_height;
      share(rows, rows_at_once(d, rows), [&](Index begin, Index end) {
        d.parts->forward_rows(d, padded, workspace, finish, out, {first * d.out_height, begin, end},
                              row.data());
      });
    }
  }
}

void DirectConvolution::forward(const ImageView& x, const float* w, const float* bias, bool relu,
                                float* y, float* workspace) const {
  run(forward_, x, false, w, {bias, relu, nullptr}, y, workspace);
}

void DirectConvolution::input_gradient(const float* dy, const float* w, const float* relu_output,
                                       float* dx, float* workspace) const {
  const Index row = shape_.out_width() * shape_.filters;
  run(gradient_, {dy, shape_.out_height() * row, row, shape_.filters, 1}, true, w,
      {nullptr, false, relu_output}, dx, workspace);
}

void DirectConvolution::weight_gradient(const ImageView& x, const float* dy, bool add, float* dw,
                                        float* db, float* workspace) const {
  const DirectShape& d = forward_;
  float* const padded = workspace + weight_floats(d);
  float* const packing = padded + round_up(d.block * d.image_floats(), kLineFloats);
  const Index places = d.parts->places(d);
  const WeightOrder order = order_of(shape_, false);
#pragma omp parallel
  {
    for (Index first = 0; first < shape_.n; first += d.block) {
      const Index images = std::min(d.block, shape_.n - first), rows = images * d.out_height;
      pad_images(d, shape_.height, shape_.width, x, first, images, padded);
      const float* const block = dy + first * d.out_height * d.out_width * d.filters;
      const float* const packed = reads_gradients_unpacked() ? block : packing;
      share(packed == packing ? rows : 0, ceil_div(256, d.out_width), [&](Index begin, Index end) {
        d.parts->pack_gradients(d, block, rows, begin, end, packing);
      });
      share(panels(d) * places, 1, [&](Index item, Index) {
        d.parts->add_weight_gradients(d, padded, packed, images, {item / places, item % places},
                                      first == 0, workspace);
      });
      share(panels(d), 1, [&](Index panel, Index) {
        if (db != nullptr) add_bias_gradient(panel, packed, images, add || first > 0, db);
      });
    }
    share(panels(d), 1, [&](Index panel, Index) {
      for_each_weight(d, order, panel, d.parts->panel, [&](Index from, Index to) {
        if (to >= 0) dw[to] = workspace[from] + (add ? dw[to] : 0.0F);
      });
    });
  }
}

void DirectConvolution::add_bias_gradient(Index panel, const float* packed, Index images, bool add,
                                          float* db) const {
  const DirectShape& d = forward_;
  const Index width = d.parts->panel, panels = ceil_div(d.group_filters(), width);
  const Index image = d.out_height * d.packed_width * width;
  const Index in_group = panel % panels * width;
  const Index first = panel / panels * d.group_filters() + in_group;
  std::vector<float> sums(static_cast<std::size_t>(width));
  std::vector<double> total(sums.size());
  for (Index n = 0; n < images; ++n) {
    d.parts->sum_gradients(d, packed + (panel * images + n) * image, sums.data());
    std::transform(sums.begin(), sums.end(), total.begin(), total.begin(), std::plus<>());
  }
  for (Index lane = 0; lane < std::min(width, d.group_filters() - in_group); ++lane)
    db[first + lane] =
        static_cast<float>(total[static_cast<std::size_t>(lane)]) + (add ? db[first + lane] : 0.0F);
}

}  // namespace millrace::kernels
