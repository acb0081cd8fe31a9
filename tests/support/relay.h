#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace pgrecast::test {

// The network between clients and a real server, for as long as a test needs
// one that fails: each client has a server session of its own, and whatever
// either says is passed on. On a unix socket in a folder of its own.
//
// A client is meant by a part of its startup message: its application_name.
// Any thread. No TLS, no cancel requests.
class Relay {
 public:
  // `server_socket`: the path of the server's socket.
  explicit Relay(std::string server_socket);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  // Closes every connection.
  ~Relay();

  // What host= is in the client's connection string.
  const std::string& folder() const { return folder_; }

  // From now on the client hears nothing from its server, which hears all.
  void withhold_answers(const std::string& client);
  // What the client said last to its server, at most a few kB.
  std::string last_said(const std::string& client);
  // Closes the client's connection, at both ends.
  void cut(const std::string& client);

 private:
  struct Link {
    int client = -1;
    std::string startup{};
    std::string last_said{};
    bool answers = true;
    bool cut = false;
    std::thread thread{};
  };

  void accept_all();
  void serve(Link& link);
  // Passes on what has come. False at its end.
  bool pass_question(Link& link, int server);
  bool pass_answer(Link& link, int server);
  Link& link_of(const std::string& client);  // under mutex_

  std::string server_socket_;
  std::string folder_;
  int listener_ = -1;
  std::atomic<bool> over_{false};
  std::mutex mutex_;       // guards links_, but for what never changes
  std::list<Link> links_;  // of all times
  std::thread acceptor_;
};

}  // namespace pgrecast::test
