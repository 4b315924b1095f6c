// Prints the names of the boards that a program in this place finds: a test installs it elsewhere.

#include <cstdio>

#include "millrace/topology.hpp"

int main() {
  for (const std::string& name : millrace::board_names()) std::puts(name.c_str());
}
