#pragma once
// The parts of the direct convolution that are written once for every instruction set. Internal to
// the folder; direct.cpp puts them together.

#include <cstdint>
#include <vector>

#include "kernels/convolution/convolution.hpp"

namespace millrace::kernels {

/// Neighbouring floats of an image row that meet neighbouring weights: `count` runs of `length`,
/// `stride` apart in the padded image; the first lies at `image` there and at `weight` in a panel's
/// weights (counted in floats of the image, so times DirectParts::panel).
struct Runs {
  std::int64_t image = 0, weight = 0, count = 1, stride = 0, length = 1;
};

struct DirectParts;

/// A convolution without padding, of padded images: [height, width, channels], or rows of planes
/// [height, channels, width] where DirectParts::pixels > 1.
struct DirectShape {
  std::int64_t height = 1, width = 1, channels = 1;
  std::int64_t out_height = 1, out_width = 1, filters = 1;
  std::int64_t stride_y = 1, stride_x = 1, groups = 1;
  std::int64_t pad_y = 0, pad_x = 0;          ///< of the original's first pixel
  std::int64_t end_y = 1;                     ///< rows from here on are padding
  std::int64_t spread_y = 1, spread_x = 1;    ///< between its pixels
  std::int64_t step_x = 1, step_channel = 1;  ///< between neighbours in a padded image
  std::int64_t packed_width = 1;              ///< out_width in whole DirectParts::pixels
  std::int64_t block = 1;                     ///< images at a time
  std::vector<Runs> runs;                     ///< of one group, in the order of the weights
  std::int64_t taps_x = 1;                    ///< of a row of the filter
  std::vector<std::int64_t> offsets;          ///< with planes: where each float of `runs` lies
  const DirectParts* parts = nullptr;

  std::int64_t row_floats() const { return width * channels; }
  std::int64_t image_floats() const { return height * row_floats(); }
  std::int64_t group_channels() const { return channels / groups; }
  std::int64_t group_filters() const { return filters / groups; }
  std::int64_t inner() const { return runs.back().weight + runs.back().count * runs.back().length; }
};

/// Rows [begin, end) of the block whose first one is row `first` of all images.
struct RowRange {
  std::int64_t first = 0, begin = 0, end = 0;
};

/// Of dw: one of DirectParts::places of a panel (counted over all groups).
struct GradientPlace {
  std::int64_t panel = 0, index = 0;
};

struct DirectParts {
  std::int64_t panel = 1;   ///< filters side by side in the weights
  std::int64_t pixels = 1;  ///< side by side in vectors; 1: the filters of a panel are

  /// Output rows, finished, of a block of padded images; weights [group][panel][inner][lane]; y
  /// is the first image of all; `row` is room for out_width * panel floats (planes need none).
  void (*forward_rows)(const DirectShape&, const float* padded, const float* weights, const Finish&,
                       float* y, RowRange, float* row);
  /// dy's rows [begin, end) of `rows` into panels [group][panel][row][packed_width][lane], of
  /// planes [group][row][packed_width / pixels][filter][pixel] with zeros behind out_width.
  void (*pack_gradients)(const DirectShape&, const float* dy, std::int64_t rows, std::int64_t begin,
                         std::int64_t end, float* packed);
  /// Parts of a panel's weights whose gradients are summed apart.
  std::int64_t (*places)(const DirectShape&);
  /// Adds to dw [group][panel][inner][lane] what `images` images give to `place`; `first`:
  /// overwrites.
  void (*add_weight_gradients)(const DirectShape&, const float* padded, const float* packed,
                               std::int64_t images, const GradientPlace& place, bool first,
                               float* dw);
  /// sums [lane] of an image's pixels in a panel.
  void (*sum_gradients)(const DirectShape&, const float* packed, float* sums);
};

/// For so many filters of a group: they fill the vectors.
const DirectParts& direct_rows(std::int64_t filters);
/// Pixels fill the vectors; null where that is not clearly less work.
const DirectParts* direct_planes(const DirectShape& shape, std::int64_t taps);

/// out[j * out_row + i] = in[i * in_row + j].
void transpose(const float* in, std::int64_t in_row, std::int64_t rows, std::int64_t columns,
               float* out, std::int64_t out_row);

}  // namespace millrace::kernels
