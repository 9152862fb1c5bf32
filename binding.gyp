{
  "targets": [
    {
      "target_name": "freebsd_rss",
      "sources": [
        "native/addon.cc",
        "<!@(ls -1 native/core/*.cc native/steering/*.cc)",
        "<!@(node scripts/units.mjs engine bindings)"
      ],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": [
        "NAPI_VERSION=8",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ],
      "cflags_cc!": ["-std=gnu++20", "-std=gnu++17"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-fvisibility=hidden", "-fno-exceptions"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "MACOSX_DEPLOYMENT_TARGET": "11.0"
      },
      "conditions": [
        [
          "OS=='freebsd'",
          {
            "sources": ["<!@(ls -1 native/platform/posix/*.cc native/platform/freebsd/*.cc)"],
            "include_dirs": ["/usr/local/include"]
          }
        ],
        [
          "OS=='linux'",
          {
            "sources": ["<!@(ls -1 native/platform/posix/*.cc native/platform/linux/*.cc)"],
            "libraries": ["-lrt"]
          }
        ],
        ["OS!='freebsd' and OS!='linux'", {"sources": ["native/platform/stub/stub.cc"]}]
      ]
    }
  ]
}
