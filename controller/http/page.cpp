#include "controller/http/page.hpp"

namespace millrace {

const std::string& page() {
  static const std::string text =
#include "page.html.inc"
      ;
  return text;
}

}  // namespace millrace
