#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace pgrecast::test {

// A connection pooler in transaction mode, in front of a real server: each
// transaction of a client goes to the other one of two server sessions, taken
// in turns. On a unix socket in a folder of its own.
//
// Clients are served until they or the pooler end. No TLS, no password, no
// cancel requests.
class Pooler {
 public:
  // `server_socket`: the path of the server's socket.
  explicit Pooler(const std::string& server_socket);
  Pooler(const Pooler&) = delete;
  Pooler& operator=(const Pooler&) = delete;
  ~Pooler();

  // What host= is in the client's connection string.
  const std::string& folder() const { return folder_; }

 private:
  void accept_all();
  void serve(int client) const;

  std::string server_socket_;
  std::string folder_;
  int listener_ = -1;
  std::atomic<bool> over_{false};
  std::thread acceptor_;
  std::vector<std::thread> clients_;
};

}  // namespace pgrecast::test
