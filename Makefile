# GstTorch. Two commands do everything from a bare Debian 12, set-up included, and are quick when run again:
#
#   make demo [CLIP=FILE|/dev/video0]   detect, track and draw on a real clip: demo/out.mp4, out.jsonl, out.png
#   make demo-codec [CLIP=FILE]         our codec beside x264 at four qualities: demo/codec.png, codec-curves.png
#   make demo-restore [CLIP=FILE]       each task of torchrestore beside what it mends: demo/restore-TASK.mp4 and .png
#   make demo-generate                  what torchsrc makes: demo/generate-samples.png, -walk, -scene and -keyframes.mp4
#   make test                           formatting, clippy, all tests
#
# and the steps they are made of:
#
#   make setup [CUDA=1] [LIBTORCH=DIR]  Debian packages, Rust and libtorch, each only where it is missing
#   make build                          plugin and command line; links to them in build/gstreamer-1.0 and build/bin
#   make install [PREFIX=/usr/local]    plugin and command line into a GStreamer prefix
#   make docs                           docs/elements.json anew, from the elements as built
#   make fuzz [COUNT=1000000]           the decoder under libFuzzer
#   make gpu-bundle [WITH=FILES]        build/gpu-bundle: runs on a GPU machine that has Python's torch 2.11, no packages
#   make clean                          removes build/ and demo/; the cache folder and the cargo target stay
#
# Nothing is written outside the checkout, the cargo target and the cache folder, but for Debian packages.

SHELL := /bin/bash
SETUP := tools/setup

export GST_TORCH_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gst-torch
export CARGO_TARGET_DIR ?= $(GST_TORCH_CACHE)/target

# The libtorch that goes with tch 0.26 (Cargo.lock). What the user names is taken as it is; else the full set, once
# `make setup CUDA=1` has fetched it; else the small one.
TORCH := 2.13.0
ifndef LIBTORCH
KIND := $(if $(or $(CUDA),$(wildcard $(GST_TORCH_CACHE)/libtorch-$(TORCH)-cuda/lib)),cuda,cpu)
LIBTORCH := $(GST_TORCH_CACHE)/libtorch-$(TORCH)-$(KIND)
endif
export LIBTORCH

# One profile for everything, so that tch is compiled once.
CARGO := $(SETUP)/cargo.sh
FLAGS = --release --workspace $(LOCKED) $(addprefix --features ,$(shell $(SETUP)/gst-features.sh))
RELEASE := $(CARGO_TARGET_DIR)/release

PREFIX ?= /usr/local

.PHONY: build setup demo demo-codec demo-generate demo-restore fuzz test docs stage install gpu-bundle clean

build: setup
	$(CARGO) build $(FLAGS)
	@mkdir -p build/bin build/gstreamer-1.0
	@ln -sf $(RELEASE)/gst-torch build/bin/
	@ln -sf $(RELEASE)/libgsttorch.so build/gstreamer-1.0/

setup:
	@$(SETUP)/packages.sh
	@$(SETUP)/rust.sh $(GST_TORCH_CACHE)
	@$(if $(KIND),$(SETUP)/libtorch.sh $(TORCH) $(KIND) $(LIBTORCH))
	@$(SETUP)/cargo-config.sh

# What runs below keeps its own GStreamer registry: the user's never meets a half-built plugin.
demo demo-codec demo-generate demo-restore test docs: export GST_REGISTRY := $(GST_TORCH_CACHE)/registry.bin

demo: build
	$(CARGO) build -q $(FLAGS) --example demo
	@clip="$(CLIP)"; clip=$${clip:-$$($(SETUP)/clip.sh $(GST_TORCH_CACHE))} && \
	  $(RELEASE)/examples/demo "$$clip" --out demo

demo-codec: build
	@mkdir -p demo
	@clip="$(CLIP)"; clip=$${clip:-$$($(SETUP)/clip.sh $(GST_TORCH_CACHE))} && \
	  $(RELEASE)/gst-torch eval codec "$$clip" --size 640x360 --frames 60 --quality 75,50,25,10 \
	    --anchor x264-ultrafast --picture demo/codec.png --plot demo/codec-curves.png
	@echo "written    demo/codec.png, demo/codec-curves.png"

demo-generate: build
	$(CARGO) build -q $(FLAGS) --example demo-generate --example keyframes
	@$(RELEASE)/examples/demo-generate --out demo
	@$(RELEASE)/examples/keyframes --out demo/generate-keyframes.mp4

demo-restore: build
	$(CARGO) build -q $(FLAGS) --example demo-restore
	@clip="$(CLIP)"; clip=$${clip:-$$($(SETUP)/clip.sh $(GST_TORCH_CACHE))} && \
	  $(RELEASE)/examples/demo-restore "$$clip" --out demo

# Feeds the decoder what no encoder would write. COUNT inputs each; seeds and finds are kept in tests/fuzz.
COUNT ?= 1000000
fuzz: setup
	@$(SETUP)/fuzz.sh $(COUNT)

test: setup
	@$(SETUP)/clip.sh $(GST_TORCH_CACHE) >/dev/null || echo "test: what needs that clip will be skipped"
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(FLAGS) --all-targets -- -D warnings
	G_DEBUG=fatal_warnings $(CARGO) test $(FLAGS)

docs: setup
	UPDATE_DOCS=1 $(CARGO) test -q $(FLAGS) --test suite -- house::elements

# For meson.build, which installs what lies in DEST.
stage:
	$(CARGO) build $(FLAGS)
	install -D -t $(DEST) $(RELEASE)/libgsttorch.so $(RELEASE)/gst-torch

install: setup
	meson setup --reconfigure build/install --prefix=$(PREFIX) >/dev/null 2>&1 || meson setup build/install --prefix=$(PREFIX)
	meson install -C build/install

gpu-bundle: setup
	$(SETUP)/gpu-bundle.sh build/gpu-bundle $(WITH)

clean:
	rm -rf build demo

# `export LIBTORCH=$(make -s print-LIBTORCH)`, and what meson.build asks.
print-%:
	@echo '$($*)'
