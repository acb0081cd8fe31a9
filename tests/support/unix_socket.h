#pragma once

#include <string>

namespace pgrecast::test {

// The file name of a server's socket, in its folder.
inline constexpr const char* kSocketName = "/.s.PGSQL.5432";

// Descriptors of the caller. They throw std::runtime_error.
int listen_on(const std::string& path);
int connect_to(const std::string& path);

// False when the peer is gone.
bool write_all(int fd, const std::string& bytes);

}  // namespace pgrecast::test
