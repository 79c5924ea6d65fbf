#pragma once

// SQLite's own way to its files, with faults: every call that may fail on a real disk is first put
// to the test, which may answer with an error instead.

#include <functional>
#include <memory>
#include <string>

namespace gateway::test {

class fault_vfs {
public:
    enum class call {
        open,
        read,
        write,
        truncate,
        sync,
        remove,
        map, // of the shared index of the log
    };
    // 0 lets the call through; else an SQLite error code. `file` is the path.
    using plan = std::function<int(call what, const std::string& file)>;

    explicit fault_vfs(std::string name);
    ~fault_vfs();
    fault_vfs(const fault_vfs&) = delete;
    fault_vfs& operator=(const fault_vfs&) = delete;

    const std::string& name() const { return name_; }
    void set(plan p);
    // Does not wait for the disk any more, only says so: for tests that make thousands of commits
    // and pull no plug.
    void skip_syncs() { skips_syncs_ = true; }
    bool skips_syncs() const { return skips_syncs_; }
    // Fails the n-th such call from now on (1 is the next), once.
    void fail(call what, int nth, int code);
    int ask(call what, const std::string& file);

private:
    struct impl;
    std::string name_;
    bool skips_syncs_ = false;
    std::unique_ptr<impl> impl_;
};

} // namespace gateway::test
