// render_sample: one separable pass over rows, one over columns.

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/data/augment.hpp"

namespace millrace {
namespace {

/// The input pixels that make one output pixel: `count` weights from input `first` on; none where
/// the output pixel lies outside the image.
struct Taps {
  int first = 0, count = 0;
  std::size_t weights = 0;  ///< where they begin in Axis::weights
};

/// How one axis is resized. Triangle filter, as wide as an output pixel where that shrinks the
/// image, so that fine texture does not alias.
struct Axis {
  std::vector<Taps> taps;      ///< one per output pixel
  std::vector<float> weights;  ///< each output pixel's sum to 1
};

/// `begin` and `extent` of the crop in input pixels; `inputs`, `outputs` numbers of pixels.
Axis make_axis(double begin, double extent, int inputs, int outputs, bool mirrored) {
  Axis axis;
  const double scale = extent / outputs, radius = std::max(1.0, scale);
  for (int i = 0; i < outputs; ++i) {
    const double centre = begin + ((mirrored ? outputs - 1 - i : i) + 0.5) * scale;
    Taps taps{0, 0, axis.weights.size()};
    if (centre >= 0 && centre < inputs) {
      taps.first = std::max(0, static_cast<int>(std::floor(centre - 0.5 - radius)) + 1);
      const int last = std::min(inputs - 1, static_cast<int>(std::ceil(centre - 0.5 + radius)) - 1);
      taps.count = last - taps.first + 1;
      double sum = 0;
      for (int j = taps.first; j <= last; ++j) {
        const double weight = std::max(0.0, 1 - std::abs(j + 0.5 - centre) / radius);
        axis.weights.push_back(static_cast<float>(weight));
        sum += weight;
      }
      for (int j = 0; j < taps.count; ++j) {
        axis.weights[taps.weights + static_cast<std::size_t>(j)] /= static_cast<float>(sum);
      }
    }
    axis.taps.push_back(taps);
  }
  return axis;
}

/// One input row [width][Channels] to an output row [Channels][outputs].
template <int Channels>
void resize_row(const std::uint8_t* input, const Axis& axis, float* output) {
  const std::size_t outputs = axis.taps.size();
  for (std::size_t i = 0; i < outputs; ++i) {
    const Taps& taps = axis.taps[i];
    const float* weights = axis.weights.data() + taps.weights;
    const std::uint8_t* pixel = input + taps.first * Channels;
    float sums[Channels] = {};
    for (int j = 0; j < taps.count; ++j, pixel += Channels) {
      for (int c = 0; c < Channels; ++c) sums[c] += weights[j] * static_cast<float>(pixel[c]);
    }
    for (int c = 0; c < Channels; ++c) output[static_cast<std::size_t>(c) * outputs + i] = sums[c];
  }
}

/// Rows of the image that any output row reads.
std::pair<int, int> rows_read(const Axis& vertical) {
  int first = 0, last = -1;
  for (const Taps& taps : vertical.taps) {
    if (taps.count == 0) continue;
    first = last < 0 ? taps.first : std::min(first, taps.first);
    last = std::max(last, taps.first + taps.count - 1);
  }
  return {first, last + 1};
}

/// The rows that are read, each resized: [row][channels][outputs].
std::vector<float> resize_rows(const Image& image, const Axis& horizontal, int begin, int end) {
  const auto outputs = horizontal.taps.size() * static_cast<std::size_t>(image.channels);
  const auto stride = static_cast<std::size_t>(image.width * image.channels);
  const auto resize = image.channels == 1 ? resize_row<1> : resize_row<3>;
  std::vector<float> rows(static_cast<std::size_t>(end - begin) * outputs);
  for (int y = begin; y < end; ++y) {
    resize(image.pixels.data() + static_cast<std::size_t>(y) * stride, horizontal,
           rows.data() + static_cast<std::size_t>(y - begin) * outputs);
  }
  return rows;
}

/// output[x] = bias + gain * sum over taps of weight * row[x].
void blend_rows(const float* first_row, std::size_t row_stride, const Taps& taps,
                const float* weights, float gain, float bias, float* output, std::size_t width) {
  std::fill_n(output, width, bias);
  for (int j = 0; j < taps.count; ++j) {
    const float weight = weights[j] * gain;
    const float* row = first_row + static_cast<std::size_t>(j) * row_stride;
    for (std::size_t x = 0; x < width; ++x) output[x] += weight * row[x];
  }
}

}  // namespace

void render_sample(const Image& image, const Crop& crop, const SampleFormat& format,
                   float* output) {
  // The crop counts stored pixels; decoding may have shrunk the image.
  const double per_x = static_cast<double>(image.width) / image.full_width;
  const double per_y = static_cast<double>(image.height) / image.full_height;
  const Axis horizontal =
      make_axis(crop.x * per_x, crop.width * per_x, image.width, format.width, crop.mirrored);
  const Axis vertical =
      make_axis(crop.y * per_y, crop.height * per_y, image.height, format.height, false);
  const auto [begin, end] = rows_read(vertical);
  const std::vector<float> rows = resize_rows(image, horizontal, begin, end);

  const auto width = static_cast<std::size_t>(format.width);
  const std::size_t row_stride = width * static_cast<std::size_t>(format.channels);
  for (int c = 0; c < format.channels; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    const float deviation = format.normalisation.deviation[channel];
    const float gain = 1 / (255 * deviation),
                bias = -format.normalisation.mean[channel] / deviation;
    for (const Taps& taps : vertical.taps) {
      const std::size_t first = taps.count == 0 ? 0 : static_cast<std::size_t>(taps.first - begin);
      blend_rows(rows.data() + first * row_stride + channel * width, row_stride, taps,
                 vertical.weights.data() + taps.weights, gain, bias, output, width);
      output += width;
    }
  }
}

}  // namespace millrace
