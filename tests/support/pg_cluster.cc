#include "support/pg_cluster.h"

#include "pgrecast/base/assert.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pgrecast::test {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name, const char* otherwise) {
  const char* value =
      std::getenv(name);  // NOLINT(concurrency-mt-unsafe): we never set one
  return value == nullptr || *value == '\0' ? otherwise : value;
}

// A folder that stays is to stay on the disk.
bool is_kept() {
  return environment("PGRECAST_TEST_KEEP", "") == "1";
}

std::uintmax_t memory_available() {
  std::ifstream file("/proc/meminfo");
  for (std::string name, rest; file >> name && std::getline(file, rest);) {
    if (name == "MemAvailable:") return std::stoull(rest) * 1024;
  }
  return 0;
}

// In memory, where there is plenty of it. A database is 300 files, and for each
// new one ext4 looks at every inode that was freed within the last minutes:
// with a database made and dropped for each test, that was half of their time.
std::string parent_folder() {
  // A server takes some 100 MB, with much WAL a few times as many.
  constexpr std::uintmax_t kPlenty = std::uintmax_t{2} << 30U;
  constexpr const char* kMemory = "/dev/shm";
  std::error_code error;
  const fs::space_info there = fs::space(kMemory, error);
  const bool plenty =
      !error && there.available >= kPlenty && memory_available() >= kPlenty;
  return plenty && !is_kept() ? kMemory : "/tmp";
}

std::string make_folder() {
  const std::string parent = parent_folder();
  std::string folder = parent + "/pgrecast-test-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    throw std::runtime_error("cannot make a folder in " + parent);
  }
  give_to_postgres(folder);
  return folder;
}

PgCluster::Settings default_settings() {
  // Without JIT: loading LLVM takes a session of ours longer than its queries.
  return {{"fsync", "off"},
          {"jit", "off"},
          // Of a killed server, too, nothing stays in /dev/shm.
          {"dynamic_shared_memory_type", "mmap"},
          {"wal_level", "logical"},
          {"max_wal_senders", "20"},
          {"max_replication_slots", "20"},
          {"max_connections", "200"},
          {"max_prepared_transactions", "20"},
          {"listen_addresses", "''"},
          {"max_wal_size", "'4GB'"},
          {"log_line_prefix", "'%m [%p] %q%u@%d %a '"}};
}

std::string single_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + "'";
}

}  // namespace

PgCluster::PgCluster(const Settings& settings)
    : folder_(make_folder()), data_(folder_ + "/data") {
  if (settings.contains("port")) port_ = settings.at("port");
  try {
    init(settings);
    start();
    version_ = std::stoi(session().query_value(
        "SELECT current_setting('server_version_num')::int / 10000"));
  } catch (...) {
    server_.reset();
    fs::remove_all(folder_);
    throw;
  }
}

PgCluster::~PgCluster() {
  try {
    kill_server();
    if (is_kept()) {
      fmt::print(stderr, "kept: {}\n", folder_);
    } else {
      fs::remove_all(folder_);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "cluster in {} is not removed: {}\n", folder_,
               error.what());
  }
}

std::string PgCluster::bin_folder() {
  return environment("PGRECAST_TEST_PG_BINDIR", "/usr/lib/postgresql/15/bin");
}

void PgCluster::fail(const std::string& what) {
  throw std::runtime_error(fmt::format("{}\n{}", what, log_text()));
}

void PgCluster::run_to_end(const std::string& program,
                           const std::vector<std::string>& arguments) {
  std::vector<std::string> command{bin_folder() + "/" + program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  run_to_end(command);
}

void PgCluster::run_to_end(const std::vector<std::string>& command) {
  Process process({.command = command,
                   .environment = {},
                   .stdout_path = folder_ + "/log",
                   .stderr_path = folder_ + "/log",
                   .as_postgres = true});
  // pg_upgrade runs a dozen programs and starts servers.
  if (process.wait(Deadline::in(4 * kPatience)) != 0) {
    fail(fmt::format("{} failed", command.front()));
  }
}

void PgCluster::init(const Settings& settings) {
  run_to_end("initdb", {"-D", data_, "-U", "postgres", "-A", "trust", "-E",
                        "UTF8", "--locale=C.UTF-8", "--no-sync"});
  Settings all = default_settings();
  all["unix_socket_directories"] = single_quoted(folder_);
  std::ofstream file(data_ + "/postgresql.conf", std::ios::app);
  for (const auto& [name, value] : all) {
    file << name << " = " << value << '\n';
  }
  for (const auto& [name, value] : settings) {
    file << name << " = " << single_quoted(value) << '\n';
  }
}

void PgCluster::start() {
  PGRECAST_ASSERT(!running(), "the server of {} runs already", folder_);
  server_.emplace(
      Process::Options{.command = {bin_folder() + "/postgres", "-D", data_},
                       .environment = {},
                       .stdout_path = folder_ + "/log",
                       .stderr_path = folder_ + "/log",
                       .as_postgres = true,
                       .at_our_death = SIGQUIT});
  const std::string target = dsn();
  const bool up = eventually([&] {
    return !server_->running() || PQping(target.c_str()) == PQPING_OK;
  });
  if (!up || !server_->running()) fail("the server does not start");
}

bool PgCluster::stop(Stop mode, Deadline deadline) {
  if (!running()) return true;
  server_->signal(mode == Stop::kFast ? SIGINT : SIGQUIT);
  if (!server_->wait(deadline)) return false;
  server_.reset();
  return true;
}

void PgCluster::kill_server() {
  if (!server_) return;
  // Stopped first, so that it cannot fork between the look and the kill. Its
  // children are no process group: each calls setsid().
  server_->signal(SIGSTOP);
  const std::vector<pid_t> children = children_of(server_->pid());
  server_->signal(SIGKILL);
  for (const pid_t child : children) kill(child, SIGKILL);
  server_->wait(Deadline::in(kPatience));
  server_.reset();
  // A new server refuses to start while one of them holds the shared memory.
  const bool gone =
      eventually([&] { return std::ranges::none_of(children, process_alive); });
  if (!gone) fail("processes of the killed server go on");
}

void PgCluster::restart(Stop mode) {
  if (!stop(mode)) fail("the server does not stop");
  start();
}

void PgCluster::start_new_timeline() {
  if (!stop(Stop::kFast)) fail("the server does not stop");
  std::ofstream(data_ + "/postgresql.conf", std::ios::app)
      << "restore_command = 'false'\n";
  std::ofstream(data_ + "/recovery.signal").flush();
  give_to_postgres(data_ + "/recovery.signal");
  start();
  Session superuser = session();
  const bool promoted = eventually([&] {
    return superuser.query_value("SELECT pg_is_in_recovery()") == "f";
  });
  if (!promoted) fail("the server does not leave recovery");
}

void PgCluster::upgrade_into(PgCluster& successor) {
  if (!stop() || !successor.stop()) fail("the server does not stop");
  // It leaves a script in its working folder.
  run_to_end(
      {"/bin/sh", "-c",
       fmt::format("cd '{0}' && exec '{1}/pg_upgrade' -U postgres -b "
                   "'{1}' -B '{1}' -d '{2}' -D '{3}' -s '{0}'",
                   successor.folder_, bin_folder(), data_, successor.data_)});
}

std::string PgCluster::dsn(const std::string& database,
                           const std::string& user) const {
  return fmt::format("host={} port={} dbname={} user={}", folder_, port_,
                     database, user);
}

std::string PgCluster::free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);  // NOLINT
  if (bind(fd, any, size) != 0 || getsockname(fd, any, &size) != 0) {
    throw std::runtime_error("no port is free");
  }
  close(fd);
  return std::to_string(ntohs(address.sin_port));
}

Session PgCluster::session(const std::string& database) const {
  return Session(dsn(database));
}

void PgCluster::set(const std::string& setting,
                    const std::string& value) const {
  Session superuser = session();
  const std::string loaded =
      superuser.query_value("SELECT pg_conf_load_time()::text");
  superuser.exec(value.empty() ? fmt::format("ALTER SYSTEM RESET {}", setting)
                               : fmt::format("ALTER SYSTEM SET {} = {}",
                                             setting, single_quoted(value)));
  superuser.exec("SELECT pg_reload_conf()");
  const bool done = eventually([&] {
    return superuser.query_value("SELECT pg_conf_load_time()::text") != loaded;
  });
  if (!done) throw std::runtime_error("the server does not reload " + setting);
}

std::string PgCluster::log_text() const {
  return read_file(folder_ + "/log");
}

PgCluster& SharedCluster::get() {
  static PgCluster cluster;
  return cluster;
}

}  // namespace pgrecast::test
