#pragma once

#include "pgrecast/buffer/change_buffer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <unistd.h>

namespace pgrecast::test {

inline BufferIdentity some_identity() {
  return {.migration = "6f1c1c9e-6d2a-4a5e-9d0b-1f6c2f4b7a11",
          .system_identifier = 7301234567890123456,
          .timeline = 1,
          .database_oid = 16384,
          .slot_name = "pgrecast_orders"};
}

// An empty folder that goes away with it.
class TempFolder {
 public:
  TempFolder() {
    std::string path =
        (std::filesystem::temp_directory_path() / "pgrecast-buffer-XXXXXX")
            .string();
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    path_ = path;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

using KeyXids = std::map<std::string, std::uint64_t>;

// What a round would see of a table.
inline KeyXids all_keys(const SealedKeys& sealed, TableId table) {
  KeyXids keys;
  std::string last;
  for (auto cursor = sealed.keys(table); cursor.valid(); cursor.next()) {
    EXPECT_LT(last, cursor.key()) << "out of order, or twice";
    last = cursor.key();
    keys.emplace(last, cursor.xid().value);
  }
  EXPECT_EQ(sealed.count(table), keys.size());
  return keys;
}

}  // namespace pgrecast::test
