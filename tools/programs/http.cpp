#include "http.hpp"

#include <strings.h>

#include <ctime>
#include <utility>

namespace {

std::string numbers() {
  std::string text;
  for (int i = 1; i <= 100'000; ++i) (text += std::to_string(i)) += '\n';
  return text;
}

/// nullptr: there is nothing of that name.
const std::string* find_page(std::string_view path) {
  static const std::string hello = "Hello, world!\n";
  static const std::string many = numbers();
  if (path == "/") return &hello;
  if (path == "/numbers") return &many;
  return nullptr;
}

/// The time as HTTP writes it, to the second.
const std::string& date() {
  static std::time_t written = -1;
  static std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != written) {
    char buffer[40];
    tm parts;
    text.assign(buffer, std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &parts)));
    written = now;
  }
  return text;
}

}  // namespace

struct http_session::status {
  std::string_view line;
  std::string_view fields = "";
};

struct http_session::callbacks {
  static http_session& of(http_parser* p) { return *static_cast<http_session*>(p->data); }

  static int begin(http_parser* p) {
    of(p).begin();
    return 0;
  }
  static int url(http_parser* p, const char* bytes, std::size_t n) {
    of(p).target_.append(bytes, n);
    return 0;
  }
  // A name or a value comes in pieces where the client's packets ended.
  static int field(http_parser* p, const char* bytes, std::size_t n) {
    http_session& s = of(p);
    if (std::exchange(s.field_is_complete_, false)) s.field_.clear();
    s.field_.append(bytes, n);
    return 0;
  }
  static int value(http_parser* p, const char*, std::size_t) {
    http_session& s = of(p);
    if (!std::exchange(s.field_is_complete_, true) && strcasecmp(s.field_.c_str(), "host") == 0) ++s.hosts_;
    return 0;
  }
  static int complete(http_parser* p) {
    of(p).answer();
    return 0;
  }
};

const http_parser_settings http_session::settings = {.on_message_begin = callbacks::begin,
                                                     .on_url = callbacks::url,
                                                     .on_status = nullptr,
                                                     .on_header_field = callbacks::field,
                                                     .on_header_value = callbacks::value,
                                                     .on_headers_complete = nullptr,
                                                     .on_body = nullptr,
                                                     .on_message_complete = callbacks::complete,
                                                     .on_chunk_header = nullptr,
                                                     .on_chunk_complete = nullptr};

void http_session::take(std::string_view bytes) {
  parser_.data = this;
  http_parser_execute(&parser_, &settings, bytes.data(), bytes.size());
  if (over_ || HTTP_PARSER_ERRNO(&parser_) == HPE_OK) return;
  over_ = true;
  respond({"400 Bad Request"}, "This is not HTTP.\n");
}

void http_session::begin() {
  target_.clear();
  field_.clear();
  field_is_complete_ = false;
  hosts_ = 0;
}

void http_session::answer() {
  const bool is_sound = parser_.http_major == 1 && (parser_.http_minor == 0 || hosts_ == 1);
  // Who wants to go on in another protocol is told by the end of this one that it cannot be.
  over_ = !is_sound || !http_should_keep_alive(&parser_) || parser_.upgrade;
  if (over_) http_parser_pause(&parser_, 1);

  const std::string* page = find_page(std::string_view(target_).substr(0, target_.find('?')));
  if (!is_sound) {
    respond({"400 Bad Request"}, "HTTP/1.1 asks for one Host.\n");
  } else if (parser_.method != HTTP_GET && parser_.method != HTTP_HEAD) {
    respond({"405 Method Not Allowed", "Allow: GET, HEAD\r\n"}, "There are only GET and HEAD.\n");
  } else if (page == nullptr) {
    respond({"404 Not Found"}, "There is no such page.\n");
  } else {
    respond({"200 OK"}, *page);
  }
}

void http_session::respond(const status& s, std::string_view content) {
  output_.append("HTTP/1.1 ").append(s.line).append("\r\nDate: ").append(date());
  output_.append("\r\nContent-Type: text/plain\r\nContent-Length: ").append(std::to_string(content.size()));
  output_.append("\r\nConnection: ").append(over_ ? "close\r\n" : "keep-alive\r\n").append(s.fields).append("\r\n");
  if (parser_.method != HTTP_HEAD) output_.append(content);
}
