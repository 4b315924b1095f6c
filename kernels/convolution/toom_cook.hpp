#pragma once
// The matrices of Winograd's minimal filtering F(m, r): m outputs of an r-tap filter from
// n = m + r - 1 inputs by n multiplications, y = A^T [ (G g) * (B^T d) ].
//
// Made from n - 1 points and infinity after Toom and Cook (the construction is in Blahut, "Fast
// algorithms for signal processing"): A^T and G evaluate polynomials at the points, B^T holds the
// coefficients of Lagrange's basis. The points decide the error. These were searched over small
// fractions for the least rms error against double, on random ReLU activations; all but the scale
// 1 / N_j of G are exact in binary.

#include <array>

namespace millrace::kernels {

template <int kRows, int kColumns>
struct TransformMatrix {
  static constexpr int rows = kRows, columns = kColumns;
  double at[kRows][kColumns] = {};
};

template <int kPoints>
constexpr std::array<double, kPoints - 1> toom_cook_points() {
  static_assert(kPoints == 4 || kPoints == 6 || kPoints == 7);
  if constexpr (kPoints == 4) return {0, 1, -1};
  if constexpr (kPoints == 6) return {0, 1, -1, 0.5, -2};
  if constexpr (kPoints == 7) return {0, 1, 0.5, 2, -0.75, -1.5};
}

/// kOut outputs, kTaps taps.
template <int kOut, int kTaps>
struct ToomCook {
  static constexpr int kPoints = kOut + kTaps - 1;
  using Input = TransformMatrix<kPoints, kPoints>;
  using Filter = TransformMatrix<kPoints, kTaps>;
  using Output = TransformMatrix<kOut, kPoints>;

  /// B^T: row j has the coefficients of prod_{l != j} (x - p_l), the last those of prod_l (x -
  /// p_l).
  static constexpr Input input() {
    constexpr auto points = toom_cook_points<kPoints>();
    Input matrix;
    for (int j = 0; j < kPoints; ++j) {
      double* row = matrix.at[j];
      row[0] = 1;
      int degree = 0;
      for (int l = 0; l < kPoints - 1; ++l) {
        if (l == j) continue;
        ++degree;
        for (int i = degree; i > 0; --i) row[i] = row[i - 1] - points[l] * row[i];
        row[0] *= -points[l];
      }
    }
    return matrix;
  }

  /// G: row j is 1, p_j, p_j^2, … over N_j = prod_{l != j} (p_j - p_l); the last picks the last
  /// tap.
  static constexpr Filter filter() {
    constexpr auto points = toom_cook_points<kPoints>();
    Filter matrix;
    for (int j = 0; j < kPoints - 1; ++j) {
      double power = 1;
      for (int l = 0; l < kPoints - 1; ++l) {
        if (l != j) power /= points[j] - points[l];
      }
      for (int i = 0; i < kTaps; ++i, power *= points[j]) matrix.at[j][i] = power;
    }
    matrix.at[kPoints - 1][kTaps - 1] = 1;
    return matrix;
  }

  /// A^T: column j is 1, p_j, p_j^2, …; the last counts for the last output alone.
  static constexpr Output output() {
    constexpr auto points = toom_cook_points<kPoints>();
    Output matrix;
    for (int j = 0; j < kPoints - 1; ++j) {
      double power = 1;
      for (int i = 0; i < kOut; ++i, power *= points[j]) matrix.at[i][j] = power;
    }
    matrix.at[kOut - 1][kPoints - 1] = 1;
    return matrix;
  }
};

}  // namespace millrace::kernels
