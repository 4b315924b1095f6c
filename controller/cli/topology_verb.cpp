#include "controller/cli/output.hpp"
#include "controller/cli/verbs.hpp"
#include "millrace/topology.hpp"

namespace millrace::cli {

void add_topology(CLI::App& program, Action& action) {
  const auto request = std::make_shared<TopologyRequest>();
  Verb verb(program, action, "topology", "shows the machine: cores by kind, memory, GPUs, limits");
  auto* board =
      verb.app().add_option("--board", request->board, "a board that comes with Millrace");
  verb.app()
      .add_option("--xml", request->xml_file, "a machine that hwloc exported (lstopo FILE.xml)")
      ->type_name("FILE")
      ->excludes(board);
  board->type_name("NAME");
  verb.examples(
      "  millrace topology\n"
      "  millrace topology --board rk3588 --json\n"
      "  lstopo there.xml; millrace topology --xml there.xml");
  verb.runs([request](const SettingLayers&, const Presentation& presentation) {
    const Topology topology = discover_topology(*request);
    print(presentation.json ? to_json(topology) : describe(topology));
    return 0;
  });
}

}  // namespace millrace::cli
