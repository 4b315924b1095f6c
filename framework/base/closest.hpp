#pragma once
// What the user may have meant.

#include <string>
#include <vector>

namespace millrace {

/// The candidate with the fewest edits (insert, delete, replace, swap of neighbours); the first one
/// where several are equal. "" where none is within half of the word's length.
std::string closest(const std::string& word, const std::vector<std::string>& candidates);

/// For the end of a message: ": did you mean 'profile'?", or, where nothing is close, ": one of a,
/// b".
std::string suggestion(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace millrace
