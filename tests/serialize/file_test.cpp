#include "serialize/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "serialize/scratch.hpp"

namespace {

namespace snapshot = stackless::snapshot;
using bytes = std::pmr::vector<std::byte>;
using stackless::snapshot_error;

bytes pattern(std::size_t size, int value) {
  return bytes(size, static_cast<std::byte>(value), snapshot::scratch());
}

void expect_io_error(const std::function<void()>& work, const std::string& path, const std::string& reason) {
  try {
    work();
    ADD_FAILURE() << "no error for " << path;
  } catch (const snapshot_error& error) {
    EXPECT_EQ(error.reason(), snapshot_error::kind::io);
    EXPECT_EQ(error.about().file, path);
    EXPECT_NE(error.about().reason.find(reason), std::string::npos) << error.what();
  }
}

class file : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "stackless-file-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/a.snap";
  }

  void TearDown() override {
    EXPECT_EQ(entries(), std::vector<std::string>{}) << "files are left";
    rmdir(folder_.c_str());
  }

  std::vector<std::string> entries() const {
    std::vector<std::string> names;
    DIR* directory = opendir(folder_.c_str());
    while (const dirent* entry = readdir(directory))
      if (std::string name = entry->d_name; name != "." && name != "..") names.push_back(name);
    closedir(directory);
    return names;
  }

  void remove_all() {
    for (const auto& name : entries()) unlink((folder_ + '/' + name).c_str());
  }

  std::string folder_, path_;
};

/// Exit status of a child process.
int in_child(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(file, what_is_written_is_read) {
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{65'536}, std::size_t{3'000'001}}) {
    snapshot::write_file(path_, pattern(size, 7));
    EXPECT_TRUE(snapshot::read_file(path_) == pattern(size, 7)) << size;
  }
  EXPECT_EQ(entries(), std::vector<std::string>{"a.snap"});
  struct stat about;
  ASSERT_EQ(stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  remove_all();
}

TEST_F(file, a_name_without_a_folder) {
  EXPECT_EQ(in_child([&] {
              if (chdir(folder_.c_str()) != 0) return 1;
              snapshot::write_file("b.snap", pattern(100, 1));
              return snapshot::read_file("b.snap") == pattern(100, 1) ? 0 : 2;
            }),
            0);
  EXPECT_EQ(entries(), std::vector<std::string>{"b.snap"});
  remove_all();
}

TEST_F(file, a_link_is_replaced_and_what_it_leads_to_stays) {
  snapshot::write_file(path_, pattern(10, 1));
  const std::string link = folder_ + "/link";
  ASSERT_EQ(symlink("a.snap", link.c_str()), 0);
  snapshot::write_file(link, pattern(10, 2));
  EXPECT_TRUE(snapshot::read_file(path_) == pattern(10, 1));
  EXPECT_TRUE(snapshot::read_file(link) == pattern(10, 2));
  remove_all();
}

TEST_F(file, reads_a_pipe_by_descriptor) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::thread other([&] {
    for (int i = 0; i != 50; ++i) EXPECT_EQ(write(ends[1], pattern(3'001, 5).data(), 3'001), 3'001);
    close(ends[1]);
  });
  EXPECT_TRUE(snapshot::read_fd(ends[0], "<pipe>") == pattern(50 * 3'001, 5));
  other.join();
  close(ends[0]);
  expect_io_error([&] { snapshot::read_fd(-1, "<nothing>"); }, "<nothing>", "Bad file descriptor");
}

TEST_F(file, errors_name_the_path_and_the_reason) {
  expect_io_error([&] { snapshot::read_file(path_); }, path_, "No such file or directory");
  expect_io_error([&] { snapshot::read_file(folder_); }, folder_, "Is a directory");
  expect_io_error([&] { snapshot::read_file("/dev/null"); }, "/dev/null", "not a regular file");
  expect_io_error([&] { snapshot::write_file(folder_, pattern(1, 1)); }, folder_, "Is a directory");
  expect_io_error([&] { snapshot::write_file("/dev/null", pattern(1, 1)); }, "/dev/null",
                  "not a regular file");
  expect_io_error([&] { snapshot::write_file("", pattern(1, 1)); }, "", "No such file or directory");
  const std::string nowhere = folder_ + "/missing/a.snap";
  expect_io_error([&] { snapshot::write_file(nowhere, pattern(1, 1)); }, nowhere,
                  "No such file or directory");
  const std::string long_name = folder_ + '/' + std::string(300, 'x');
  expect_io_error([&] { snapshot::write_file(long_name, pattern(1, 1)); }, long_name, "File name too long");
}

TEST_F(file, a_pipe_without_a_writer_is_refused_not_waited_for) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  expect_io_error([&] { snapshot::read_file(path_); }, path_, "not a regular file");
  expect_io_error([&] { snapshot::write_file(path_, pattern(1, 1)); }, path_, "not a regular file");
  remove_all();
}

TEST_F(file, no_permission) {
  if (geteuid() == 0) {
    // Root may do everything; a child that is nobody may not.
    ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  }
  snapshot::write_file(path_, pattern(10, 1));
  ASSERT_EQ(chmod(path_.c_str(), 0), 0);
  EXPECT_EQ(in_child([&] {
              if (geteuid() == 0 && setuid(65534) != 0) return 0;
              if (geteuid() != 0) chmod(folder_.c_str(), 0500);
              expect_io_error([&] { snapshot::read_file(path_); }, path_, "Permission denied");
              expect_io_error([&] { snapshot::write_file(path_, pattern(1, 1)); }, path_,
                              "Permission denied");
              return HasFailure() ? 1 : 0;
            }),
            0);
  chmod(folder_.c_str(), 0700);
  remove_all();
}

TEST_F(file, a_full_disk_leaves_the_older_file_whole) {
  snapshot::write_file(path_, pattern(1'000, 1));
  EXPECT_EQ(in_child([&] {
              signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{100'000, 100'000};
              setrlimit(RLIMIT_FSIZE, &limit);
              expect_io_error([&] { snapshot::write_file(path_, pattern(1'000'000, 2)); }, path_,
                              "File too large");
              return HasFailure() ? 1 : 0;
            }),
            0);
  EXPECT_EQ(entries(), std::vector<std::string>{"a.snap"});
  EXPECT_TRUE(snapshot::read_file(path_) == pattern(1'000, 1));
  remove_all();
}

TEST_F(file, killed_while_writing) {
  std::mt19937 random(std::random_device{}());
  const std::size_t size = 2'000'000;
  const auto begin = std::chrono::steady_clock::now();
  snapshot::write_file(path_, pattern(size, 0));
  const auto one_write = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  int changed = 0;
  for (int round = 0; round != 30; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      for (int version = 1;; ++version)
        snapshot::write_file(path_, pattern(size + static_cast<std::size_t>(version % 256), version));
    }
    std::this_thread::sleep_for(one_write * (random() % 400) / 100);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const bytes found = snapshot::read_file(path_);
    ASSERT_GE(found.size(), size);
    ASSERT_TRUE(found == pattern(found.size(), static_cast<int>(found.size() - size))) << "round " << round;
    changed += found.size() != size;
  }
  EXPECT_GT(changed, 0);
  remove_all();
}

}  // namespace
