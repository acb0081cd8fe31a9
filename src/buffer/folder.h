#pragma once

#include "pgrecast/buffer/identity.h"

#include <filesystem>
#include <optional>

// The folder of a change buffer: the file `identity`, by which it is known to
// be ours and whose lock is its owner's, and `db`, which is RocksDB's.
namespace pgrecast::buffer {

// Holds the lock of a buffer's folder. The lock goes with the process, however
// that ends.
class FolderLock {
 public:
  // Throws StorageError while somebody else holds it.
  explicit FolderLock(const std::filesystem::path& folder);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  int descriptor_ = -1;
};

std::filesystem::path database_path(const std::filesystem::path& folder);

// Makes the folder (mode 0700) durable with its identity. Throws StorageError
// if there is something in it.
void make_folder(const std::filesystem::path& folder,
                 const BufferIdentity& identity);

// nullopt if the folder, or the identity in it, does not exist. Throws
// StorageError for what cannot be read, Refused for a newer format.
std::optional<BufferIdentity> read_identity(
    const std::filesystem::path& folder);

// Throws ChangesLost, naming each field that differs.
void check_identity(const std::filesystem::path& folder,
                    const BufferIdentity& found,
                    const BufferIdentity& expected);

// Removes the folder if it holds no more than what a crash leaves within
// make_folder() or remove_folder(): nothing, or an identity without its name.
// False: it holds something else, and stays.
bool remove_unfinished(const std::filesystem::path& folder);

// Removes the identity, then the folder unless something else is in it.
void remove_folder(const std::filesystem::path& folder);

}  // namespace pgrecast::buffer
