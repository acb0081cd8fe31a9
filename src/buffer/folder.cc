#include "folder.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace pgrecast::buffer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFirstLine = "pgrecast change buffer";
constexpr mode_t kFolderMode = 0700;
constexpr mode_t kFileMode = 0600;

fs::path identity_path(const fs::path& folder) {
  return folder / "identity";
}
// What a crash in make_folder() may leave.
fs::path unfinished_path(const fs::path& folder) {
  return folder / "identity.new";
}

[[noreturn]] void failed(const fs::path& path, std::string_view what) {
  const int error = errno;
  throw StorageError(fmt::format("change buffer: cannot {} {}: {}", what,
                                 path.string(),
                                 std::generic_category().message(error)));
}

class File {
 public:
  File(const fs::path& path, int flags)
      // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): open(2) is one.
      : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, kFileMode)) {
    if (descriptor_ < 0) failed(path, "open");
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(descriptor_); }

  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

void sync(const fs::path& path) {
  const File file(path, O_RDONLY);
  if (::fsync(file.descriptor()) != 0) failed(path, "sync");
}

void write_durably(const fs::path& path, std::string_view text) {
  const File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  while (!text.empty()) {
    const ssize_t written =
        ::write(file.descriptor(), text.data(), text.size());
    if (written < 0) failed(path, "write");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(file.descriptor()) != 0) failed(path, "sync");
}

std::string to_text(const BufferIdentity& identity) {
  return fmt::format(
      "{}\nformat_version={}\nmigration={}\nsystem_identifier={}\n"
      "timeline={}\ndatabase_oid={}\nslot_name={}\n",
      kFirstLine, identity.format_version, identity.migration,
      identity.system_identifier, identity.timeline, identity.database_oid,
      identity.slot_name);
}

[[noreturn]] void damaged(const fs::path& folder, std::string_view what) {
  throw StorageError(fmt::format("change buffer: {} is damaged: {}",
                                 identity_path(folder).string(), what));
}

// The lines `name=value` of the file, by name.
class Fields {
 public:
  Fields(fs::path folder, std::string_view text) : folder_(std::move(folder)) {
    std::string_view rest = text;
    if (take_line(rest) != kFirstLine) damaged(folder_, "wrong first line");
    while (!rest.empty()) {
      const std::string_view line = take_line(rest);
      const std::size_t equals = line.find('=');
      if (equals == std::string_view::npos) damaged(folder_, "line without =");
      values_.emplace(line.substr(0, equals), line.substr(equals + 1));
    }
  }

  std::string text(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) damaged(folder_, "no " + name);
    return found->second;
  }

  template <typename Int>
  Int number(const std::string& name) const {
    const std::string digits = text(name);
    Int value = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc{} || rest != end) damaged(folder_, "bad " + name);
    return value;
  }

 private:
  // The file ends every line, so a file that was cut short is noticed.
  std::string_view take_line(std::string_view& text) const {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) damaged(folder_, "cut short");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    return line;
  }

  fs::path folder_;
  std::map<std::string, std::string> values_;
};

bool holds_something(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path() != unfinished_path(folder)) return true;
  }
  if (error) {
    throw StorageError(fmt::format("change buffer: cannot read {}: {}",
                                   folder.string(), error.message()));
  }
  return false;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder)
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): open(2) is one.
    : descriptor_(::open(identity_path(folder).c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) failed(identity_path(folder), "open");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  ::close(descriptor_);
  errno = error;
  if (error != EWOULDBLOCK) failed(identity_path(folder), "lock");
  throw StorageError(
      fmt::format("change buffer {} is in use by another process: only one may "
                  "run a migration",
                  folder.string()));
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

fs::path database_path(const fs::path& folder) {
  return folder / "db";
}

void make_folder(const fs::path& folder, const BufferIdentity& identity) {
  const std::string text = to_text(identity);
  const Fields written(folder, text);
  PGRECAST_ASSERT(written.text("migration") == identity.migration, "uuid={}",
                  identity.migration);
  PGRECAST_ASSERT(written.text("slot_name") == identity.slot_name, "slot={}",
                  identity.slot_name);

  const fs::path parent = fs::absolute(folder).parent_path();
  std::error_code error;
  fs::create_directories(parent, error);
  if (::mkdir(folder.c_str(), kFolderMode) != 0) {
    if (errno != EEXIST) failed(folder, "make");
    if (holds_something(folder)) {
      throw StorageError(fmt::format(
          "change buffer: {} already holds something", folder.string()));
    }
    if (::chmod(folder.c_str(), kFolderMode) != 0) failed(folder, "protect");
  }
  write_durably(unfinished_path(folder), text);
  PGRECAST_SYNC_POINT("buffer:folder_unfinished");
  if (::rename(unfinished_path(folder).c_str(),
               identity_path(folder).c_str()) != 0) {
    failed(identity_path(folder), "name");
  }
  sync(folder);
  sync(parent);
}

std::optional<BufferIdentity> read_identity(const fs::path& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(identity_path(folder), error);
  if (status.type() == fs::file_type::not_found) return std::nullopt;
  std::ifstream file(identity_path(folder), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) failed(identity_path(folder), "read");

  const Fields fields(folder, text);
  const auto version = fields.number<std::uint32_t>("format_version");
  if (version > kBufferFormatVersion) {
    throw Refused(fmt::format("the change buffer {} has format {}, this "
                              "program knows formats up to {}",
                              folder.string(), version, kBufferFormatVersion),
                  "go on with the newer pgrecast that wrote it");
  }
  if (version == 0) damaged(folder, "bad format_version");
  return BufferIdentity{
      .format_version = version,
      .migration = fields.text("migration"),
      .system_identifier = fields.number<std::uint64_t>("system_identifier"),
      .timeline = fields.number<std::uint32_t>("timeline"),
      .database_oid = fields.number<std::uint32_t>("database_oid"),
      .slot_name = fields.text("slot_name")};
}

void check_identity(const fs::path& folder, const BufferIdentity& found,
                    const BufferIdentity& expected) {
  std::vector<std::string> differences;
  const auto compare = [&differences](std::string_view field, const auto& has,
                                      const auto& wanted) {
    if (has == wanted) return;
    differences.push_back(
        fmt::format("{} is {}, expected {}", field, has, wanted));
  };
  compare("migration", found.migration, expected.migration);
  compare("system identifier", found.system_identifier,
          expected.system_identifier);
  compare("timeline", found.timeline, expected.timeline);
  compare("database oid", found.database_oid, expected.database_oid);
  compare("slot name", found.slot_name, expected.slot_name);
  if (differences.empty()) return;
  throw ChangesLost(fmt::format("the change buffer {} is of another stream: {}",
                                folder.string(), join(differences, "; ")));
}

bool remove_unfinished(const fs::path& folder) {
  if (holds_something(folder)) return false;
  if (::unlink(unfinished_path(folder).c_str()) != 0 && errno != ENOENT) {
    failed(unfinished_path(folder), "remove");
  }
  if (::rmdir(folder.c_str()) != 0) failed(folder, "remove");
  return true;
}

void remove_folder(const fs::path& folder) {
  if (::unlink(identity_path(folder).c_str()) != 0) {
    failed(identity_path(folder), "remove");
  }
  PGRECAST_SYNC_POINT("buffer:identity_removed");
  if (::rmdir(folder.c_str()) == 0) return;
  if (errno != ENOTEMPTY && errno != EEXIST) failed(folder, "remove");
  log::warn("buffer", "folder kept, files in it are not ours", "path={}",
            folder.string());
}

}  // namespace pgrecast::buffer
