"""Text for scripts that end their own process when it touches the file system."""

KILLER = """
import os

TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "os.listdir", "shutil.rmtree"}

def killer(moment, number):
    # An audit hook, which sends the signal before the process touches the file system for the moment-th time.
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event in TOUCHES:
            count += 1
            if count == moment:
                os.kill(os.getpid(), number)
    return hook
"""
