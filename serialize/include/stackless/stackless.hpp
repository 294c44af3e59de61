#pragma once

/// All of the library.

#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/group.hpp>
#include <stackless/heap.hpp>
#include <stackless/result.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/select.hpp>
#include <stackless/snapshot.hpp>
#include <stackless/start.hpp>
#include <stackless/sync.hpp>
#include <stackless/tasklet.hpp>
#include <stackless/tasklet_local.hpp>
