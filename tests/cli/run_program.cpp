#include "tests/cli/run_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace millrace::cli {
namespace {

struct Pipe {
  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  }
  std::array<int, 2> ends{};
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// Trainings of tests that run at the same time share the cores: their locks are in no folder.
std::vector<std::string> environment_with(Environment more) {
  more.emplace("MILLRACE_LOCKS", "/nowhere");
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!more.contains(text.substr(0, text.find('=')))) variables.push_back(text);
  }
  for (const auto& [name, value] : more) variables.push_back(name + "=" + value);
  return variables;
}

/// False at the end of the stream.
bool append(int descriptor, std::string& text) {
  std::array<char, 4096> buffer{};
  const ssize_t count = read(descriptor, buffer.data(), buffer.size());
  if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  return count > 0;
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments, const Environment& more) {
  std::vector<std::string> command = {MILLRACE_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  auto variables = environment_with(more);
  const auto argv = pointers(command), envp = pointers(variables);
  const Pipe out, err;
  child_ = fork();
  if (child_ == 0) {
    dup2(out.ends[1], STDOUT_FILENO);
    dup2(err.ends[1], STDERR_FILENO);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(out.ends[1]);
  close(err.ends[1]);
  out_ = out.ends[0];
  err_ = err.ends[0];
}

Program::~Program() {
  if (child_ <= 0) return;
  kill(child_, SIGKILL);
  finish();
}

bool Program::read_more() {
  std::array<pollfd, 2> waiting = {pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
  poll(waiting.data(), waiting.size(), -1);
  if (waiting[0].revents != 0 && !append(out_, result_.out)) {
    close(out_);
    out_ = -1;  // poll passes over it
  }
  if (waiting[1].revents != 0 && !append(err_, result_.err)) {
    close(err_);
    err_ = -1;
  }
  return out_ >= 0 || err_ >= 0;
}

bool Program::wait_for(const std::string& text) {
  while (result_.err.find(text) == std::string::npos) {
    if (!read_more()) return result_.err.find(text) != std::string::npos;
  }
  return true;
}

void Program::send(int signal) const { kill(child_, signal); }

ProgramResult Program::finish() {
  while ((out_ >= 0 || err_ >= 0) && read_more()) {
  }
  int status = 0;
  waitpid(child_, &status, 0);
  child_ = -1;
  if (WIFEXITED(status)) result_.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result_.signal = WTERMSIG(status);
  return result_;
}

ProgramResult run_millrace(const std::vector<std::string>& arguments, const Environment& more) {
  return Program(arguments, more).finish();
}

TestFolder::TestFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "millrace-cli-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = name;
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TestFolder::write(const std::string& name, const std::string& text) const {
  std::ofstream(path_ / name) << text;
  return (path_ / name).string();
}

std::string file_text(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace millrace::cli
