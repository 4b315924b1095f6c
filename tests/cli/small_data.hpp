#pragma once
// Data for end-to-end tests, made on the spot.

#include <string>

namespace millrace::cli {

/// MNIST idx files in `folder`: 28 x 28 images of a bright bar at a place that tells the class,
/// with noise; labels in turn.
void write_digits(const std::string& folder, int train, int test);

/// A JPEG of class `label` as write_digits draws it.
void write_digit_jpeg(const std::string& file, int label);

}  // namespace millrace::cli
