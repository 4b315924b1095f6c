#include "kernels/convolution/winograd.hpp"

#include <omp.h>

#include <algorithm>

#include "kernels/convolution/team.hpp"
#include "kernels/matrix/sizes.hpp"

namespace millrace::kernels {
namespace {

using Index = std::int64_t;

/// Tiles of a block: so few where they and their products, all points, then stay in a core's
/// second-level cache (measured with 2 MiB); else enough for the weights' transform, read once a
/// block, to be fetched behind the products.
constexpr Index kCachedTiles = 24, kCachedFloats = 5 << 16, kStreamedTiles = 36;
/// A team instead of the former: its threads read what others wrote, so no cache holds it, and wait
/// for each other at the end of a block. The workspace that the profile measures is one thread's:
/// here alone a team's is larger, by at most 4 MiB. Not of kStreamedTiles, whose layers have the
/// most.
constexpr Index kTeamTiles = 96;
/// A block's most, a share of a last-level cache.
constexpr Index kMostFloats = 2 << 20;

/// Floats of transformed weights at a time, for the memory: where there are more, each of up to
/// kMostParts parts of the output's channels has its own, and transforms the input anew. Measured:
/// three parts cost nothing, six 7 %.
constexpr Index kMostWeights = 7 << 18, kMostParts = 3;

/// Points across a tile.
constexpr Index kMostPoints = 7;
/// With products of bfloat16, or of a gradient that is mostly 0, 7 points would have up to 17 times
/// the error of a direct convolution: its sums add no error to speak of then.
constexpr Index kExactPoints = 6;

/// The tile of the least multiplications with at most `most_points` across; none where a direct
/// convolution has the least.
std::optional<Winograd::Tile> best_tile(Index height, Index width, Index taps, Index most_points,
                                        Precision precision) {
  std::optional<Winograd::Tile> best;
  Index least = height * width * taps * taps;
  for (const int out : {2, 3, 4, 5}) {
    const WinogradParts* parts = winograd_parts(out, static_cast<int>(taps), precision);
    const Index across = out + taps - 1;
    if (parts == nullptr || across > most_points) continue;
    const Index products = ceil_div(height, out) * ceil_div(width, out) * across * across;
    if (products >= least) continue;
    least = products;
    best = {out, parts};
  }
  return best;
}

Index wanted_tiles(Index floats_per_tile) {
  const bool cached = kCachedTiles * floats_per_tile <= kCachedFloats;
  const Index of_cached = omp_get_max_threads() > 1 ? kTeamTiles : kCachedTiles;
  return std::clamp<Index>(kMostFloats / floats_per_tile, 1, cached ? of_cached : kStreamedTiles);
}

/// Whole images where they are small, or where they must be.
Index block_of(Index image_tiles, Index images, Index floats_per_tile, bool whole_images) {
  const Index wanted = wanted_tiles(floats_per_tile);
  if (image_tiles > wanted && !whole_images) return wanted;
  return image_tiles * std::clamp<Index>((wanted + image_tiles / 2) / image_tiles, 1, images);
}

/// Channels of the output at a time, where all have so many transformed weights.
Index part_of(Index channels, Index weights, Index panel) {
  const Index parts = std::min(ceil_div(weights, kMostWeights), kMostParts);
  return parts > 1 ? round_up(ceil_div(channels, parts), panel) : channels;
}

/// db (+)= the column sums of point (1, 1) of `rows` rows of z times `scale`: there the tile's
/// polynomial was taken at 1, which sums it.
void add_bias_gradient(const PointMatrices& z, Index points_across, Index rows, bool pairs,
                       float scale, bool add, float* db) {
  for (Index k = 0; k < z.channels; ++k) {
    const float* column = z.at(points_across + 1, k / z.panel) + k % z.panel;
    double sum = 0;
    for (Index row = 0; row < rows; ++row) {
      const float unit = column[row * z.panel];
      sum += pairs ? double{low_of_pair(unit)} + high_of_pair(unit) : unit;
    }
    db[k] = static_cast<float>(sum * scale) + (add ? db[k] : 0.0F);
  }
}

}  // namespace

std::optional<Winograd> Winograd::make(const ConvolutionShape& s, bool sparse_gradient,
                                       Precision precision) {
  const bool plain = s.groups == 1 && s.dilation_y == 1 && s.dilation_x == 1 &&
                     s.taps_y == s.taps_x && s.stride_y == s.stride_x && s.pad_y < s.taps_y &&
                     s.pad_x < s.taps_x && s.out_height() > 0 && s.out_width() > 0;
  if (!plain) return std::nullopt;
  const Index taps = ceil_div(s.taps_y, s.stride_y);
  const Index most_points = precision == Precision::bf16 ? kExactPoints : kMostPoints;
  const auto tile = best_tile(s.out_height(), s.out_width(), taps, most_points, precision);
  if (!tile) return std::nullopt;
  const auto sparse = best_tile(s.out_height(), s.out_width(), taps, kExactPoints, precision);
  return Winograd(s, taps, *tile, sparse_gradient && sparse ? *sparse : *tile);
}

Winograd::Winograd(const ConvolutionShape& shape, Index taps, Tile tile, Tile gradient_tile)
    : shape_(shape), taps_(taps), tile_(tile), gradient_tile_(gradient_tile) {}

Winograd::Pass Winograd::pass(Kind kind) const {
  const bool input_gradient = kind == Kind::input_gradient;
  const ConvolutionShape& s = shape_;
  TileGrid y{.height = s.out_height(), .width = s.out_width(), .channels = s.filters};
  TileGrid x{.height = s.height,
             .width = s.width,
             .channels = s.channels,
             .origin_y = -s.pad_y,
             .origin_x = -s.pad_x};
  if (strided()) {
    x = {.height = y.height + taps_ - 1,
         .width = y.width + taps_ - 1,
         .channels = s.stride_y * s.stride_y * s.channels};
  }
  if (input_gradient) {  // of the turned filter, which reaches to the other side
    y.origin_y = -(taps_ - 1) - x.origin_y;
    y.origin_x = -(taps_ - 1) - x.origin_x;
    x.origin_y = x.origin_x = 0;
  }
  const Tile tile = input_gradient ? gradient_tile_ : tile_;
  Pass p{input_gradient ? y : x, input_gradient ? x : y, tile.parts};
  p.in.step = p.out.step = tile.out;
  p.in.tiles_y = p.out.tiles_y = ceil_div(p.out.height, tile.out);
  p.in.tiles_x = p.out.tiles_x = ceil_div(p.out.width, tile.out);
  p.image_tiles = p.in.tiles_y * p.in.tiles_x;
  p.tiles = s.n * p.image_tiles;
  const Index panel = p.parts->panel, per_unit = p.parts->per_unit, points = p.parts->points;
  const Index weights = points * p.in.channels * p.out.channels / per_unit;
  p.part = strided() ? p.out.channels : part_of(p.out.channels, weights, panel);
  p.block = block_of(p.image_tiles, s.n, points * (p.in.channels + p.part), strided());
  p.filters = {s.filters, s.channels, s.taps_y, s.taps_x, s.stride_y, input_gradient};
  if (kind == Kind::weight_gradient) {  // products over tiles
    const Index rows = ceil_div(p.block, per_unit);
    p.u = {nullptr, p.in.channels, p.part, panel};
    p.v = {nullptr, rows, p.in.channels, panel};
    p.m = {nullptr, rows, p.part, panel};
  } else {
    const Index units = ceil_div(p.in.channels, per_unit);
    p.u = {nullptr, units, p.part, panel};
    p.v = {nullptr, p.block, units, panel / per_unit};
    p.m = {nullptr, p.block, p.part, panel};
  }
  return p;
}

Winograd::Pass Winograd::pass(Kind kind, float* workspace) const {
  Pass p = pass(kind);
  for (PointMatrices* matrices : {&p.u, &p.v, &p.m}) {
    matrices->data = workspace;
    workspace += floats_of(p, *matrices);
  }
  p.deep = workspace;
  return p;
}

Index Winograd::floats_of(const Pass& p, const PointMatrices& matrices) {
  return round_up(p.parts->points * matrices.point_stride(), kLineFloats);
}

Index Winograd::floats_of(const Pass& p) const {
  const TileGrid& deep = p.filters.for_input_gradient ? p.out : p.in;
  const Index images = strided() ? p.block / p.image_tiles : 0;
  return floats_of(p, p.u) + floats_of(p, p.v) + floats_of(p, p.m) +
         round_up(images * deep.height * deep.width * deep.channels, kLineFloats);
}

std::int64_t Winograd::workspace_floats() const {
  return std::max({floats_of(pass(Kind::forward)), floats_of(pass(Kind::input_gradient)),
                   floats_of(pass(Kind::weight_gradient))});
}

double Winograd::saving() const {
  const Pass p = pass(Kind::forward);
  const Index taps = shape_.taps_y * shape_.taps_x;
  const Index direct = shape_.n * p.out.height * p.out.width * taps * shape_.channels;
  return static_cast<double>(direct) /
         static_cast<double>(p.tiles * p.parts->points * p.in.channels);
}

template <typename Work>
void Winograd::for_each_part(const Pass& whole, const Work& work) {
  for (Index first = 0; first < whole.out.channels; first += whole.part) {
    Pass p = whole;
    p.out.channels = p.m.channels = p.u.channels = std::min(p.part, whole.out.channels - first);
    work(p, first);
  }
}

void Winograd::transform_filters(const Pass& p, const float* w) const {
  share(p.in.channels, 8,
        [&](Index begin, Index end) { p.parts->transform_filters(p.filters, w, begin, end, p.u); });
}

/// Tiles first … of the input, for a block.
void Winograd::gather(const Pass& p, Gather gather_inputs, const ImageView& x, Index first,
                      Index tiles) const {
  const float* image = x.data;
  if (strided()) {
    const DepthSize size{p.in.height, p.in.width};
    const Index rows = size.rows, floats = rows * size.columns * p.in.channels;
    share(tiles / p.image_tiles * rows, 4, [&](Index begin, Index end) {
      for (Index row = begin; row < end; ++row) {
        ImageView sample = x;
        sample.data += (first / p.image_tiles + row / rows) * x.sample;
        to_depth(shape_, size, sample, p.deep + row / rows * floats, row % rows);
      }
    });
    image = p.deep;
    first = 0;
  }
  share(tiles, 4, [&](Index begin, Index end) {
    gather_inputs(p.in, image, {first, begin, end}, p.v);
  });
}

void Winograd::multiply(const Pass& p, Index tiles) const {
  share(p.parts->points * p.m.panels(), 4,
        [&](Index begin, Index end) { p.parts->multiply(p.v, p.u, p.m, tiles, begin, end); });
}

void Winograd::forward(const ImageView& x, const float* w, const float* bias, bool relu, float* y,
                       float* workspace) const {
  const Pass whole = pass(Kind::forward, workspace);
#pragma omp parallel
  for_each_part(whole, [&](const Pass& p, Index part) {
    const Finish finish{bias ? bias + part : nullptr, relu, nullptr};
    transform_filters(p, w + part * shape_.channels * shape_.taps_y * shape_.taps_x);
    for (Index first = 0; first < p.tiles; first += p.block) {
      const Index tiles = std::min(p.block, p.tiles - first);
      gather(p, p.parts->gather_inputs, x, first, tiles);
      multiply(p, tiles);
      share(tiles, 4, [&](Index begin, Index end) {
        p.parts->scatter_outputs(p.out, p.m, {first, begin, end}, finish, y + part);
      });
    }
  });
}

void Winograd::input_gradient(const float* dy, const float* w, const float* relu_output, float* dx,
                              float* workspace) const {
  const Pass whole = pass(Kind::input_gradient, workspace);
  const DepthSize size{whole.out.height, whole.out.width};
  const Index image = shape_.height * shape_.width * shape_.channels;
  const Index deep_image = size.rows * size.columns * whole.out.channels;
#pragma omp parallel
  for_each_part(whole, [&](const Pass& p, Index part) {
    const Finish finish{nullptr, false, relu_output ? relu_output + part : nullptr};
    transform_filters(p, w + part * shape_.taps_y * shape_.taps_x);
    if (strided())
      share(shape_.n, 1, [&](Index begin, Index) { std::fill_n(dx + begin * image, image, 0.0F); });
    for (Index first = 0; first < p.tiles; first += p.block) {
      const Index tiles = std::min(p.block, p.tiles - first);
      share(tiles, 4, [&](Index begin, Index end) {
        p.parts->gather_inputs(p.in, dy, {first, begin, end}, p.v);
      });
      multiply(p, tiles);
      share(tiles, 4, [&](Index begin, Index end) {
        p.parts->scatter_outputs(p.out, p.m, {strided() ? 0 : first, begin, end}, finish,
                                 strided() ? p.deep : dx + part);
      });
      if (!strided()) continue;
      share(tiles / p.image_tiles * size.rows, 4, [&](Index begin, Index end) {
        for (Index row = begin; row < end; ++row) {
          const Index n = row / size.rows;
          from_depth(shape_, size, p.deep + n * deep_image,
                     dx + (first / p.image_tiles + n) * image, row % size.rows);
        }
      });
    }
  });
}

void Winograd::weight_gradient(const ImageView& x, const float* dy, bool add, float* dw, float* db,
                               float* workspace) const {
  const Pass whole = pass(Kind::weight_gradient, workspace);
  const float to_sum = whole.parts->gradient_sum_scale;
#pragma omp parallel
  for_each_part(whole, [&](const Pass& p, Index part) {
    for (Index first = 0; first < p.tiles; first += p.block) {
      const Index tiles = std::min(p.block, p.tiles - first);
      gather(p, p.parts->gather_inputs_transposed, x, first, tiles);
      share(tiles, 4, [&](Index begin, Index end) {
        p.parts->gather_gradients(p.out, dy + part, {first, begin, end}, p.m);
      });
      share(p.parts->points * p.u.panels(), 4, [&](Index begin, Index end) {
        p.parts->multiply_transposed(p.v, p.m, p.u, tiles, begin, end, first > 0);
      });
      if (db != nullptr) {
#pragma omp single
        add_bias_gradient(p.m, tile_.out + taps_ - 1, ceil_div(tiles, p.parts->per_unit),
                          p.parts->per_unit > 1, to_sum, add || first > 0, db + part);
      }
    }
    share(p.u.rows, 8, [&](Index begin, Index end) {
      p.parts->collect_filters(p.filters, p.u, begin, end, add,
                               dw + part * shape_.channels * shape_.taps_y * shape_.taps_x);
    });
  });
}

}  // namespace millrace::kernels
