#include "support/relay.h"

#include "support/unix_socket.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace pgrecast::test {
namespace {

constexpr int kLookAgainMs = 20;

// What has come; "" at the end.
std::string read_some(int fd) {
  std::array<char, 8192> bytes{};
  const ssize_t got = read(fd, bytes.data(), bytes.size());
  return got <= 0 ? "" : std::string(bytes.data(), static_cast<size_t>(got));
}

}  // namespace

Relay::Relay(std::string server_socket)
    : server_socket_(std::move(server_socket)) {
  std::string folder = "/tmp/pgrecast_relay_XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("mkdtemp");
  folder_ = folder;
  listener_ = listen_on(folder_ + kSocketName);
  acceptor_ = std::thread([this] { accept_all(); });
}

Relay::~Relay() {
  over_ = true;
  acceptor_.join();
  for (Link& link : links_) link.thread.join();
  close(listener_);
  std::filesystem::remove_all(folder_);
}

void Relay::withhold_answers(const std::string& client) {
  const std::lock_guard lock(mutex_);
  link_of(client).answers = false;
}

std::string Relay::last_said(const std::string& client) {
  const std::lock_guard lock(mutex_);
  return link_of(client).last_said;
}

void Relay::cut(const std::string& client) {
  const std::lock_guard lock(mutex_);
  link_of(client).cut = true;
}

Relay::Link& Relay::link_of(const std::string& client) {
  const auto found = std::ranges::find_if(links_, [&](const Link& link) {
    return !link.cut && link.startup.find(client) != std::string::npos;
  });
  if (found == links_.end()) throw std::runtime_error("no client " + client);
  return *found;
}

void Relay::accept_all() {
  while (!over_) {
    pollfd ready{.fd = listener_, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, kLookAgainMs) <= 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const std::lock_guard lock(mutex_);
    Link& link = links_.emplace_back(Link{.client = client});
    link.thread = std::thread([this, &link] { serve(link); });
  }
}

void Relay::serve(Link& link) {
  const int server = connect_to(server_socket_);
  for (bool alive = true; alive && !over_;) {
    {
      const std::lock_guard lock(mutex_);
      if (link.cut) break;
    }
    std::array<pollfd, 2> ready{
        pollfd{.fd = link.client, .events = POLLIN, .revents = 0},
        pollfd{.fd = server, .events = POLLIN, .revents = 0}};
    if (poll(ready.data(), ready.size(), kLookAgainMs) <= 0) continue;
    if (ready[0].revents != 0) alive = pass_question(link, server);
    if (alive && ready[1].revents != 0) alive = pass_answer(link, server);
  }
  close(server);
  close(link.client);
}

bool Relay::pass_question(Link& link, int server) {
  const std::string bytes = read_some(link.client);
  if (bytes.empty() || !write_all(server, bytes)) return false;
  const std::lock_guard lock(mutex_);
  if (link.startup.empty()) link.startup = bytes;
  link.last_said = bytes;
  return true;
}

bool Relay::pass_answer(Link& link, int server) {
  const std::string bytes = read_some(server);
  if (bytes.empty()) return false;
  {
    const std::lock_guard lock(mutex_);
    if (!link.answers) return true;
  }
  return write_all(link.client, bytes);
}

}  // namespace pgrecast::test
