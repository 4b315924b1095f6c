#pragma once
// The page that shows a run, page.html, as the program carries it.

#include <string>

namespace millrace {

const std::string& page();

}  // namespace millrace
