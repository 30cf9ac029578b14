"""Every copy found, nothing else alarmed on: the robustness benchmark. See docs/robustness.md."""
