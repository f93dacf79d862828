"""Start a node for each pair of cameras: `ros2 launch paif_ros multi.launch.py pairs:=FILE`.

config/multi.yaml is an example of the file. All nodes read the same model file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from paif_ros import pairs
from paif_ros.fastdds import profile_environment


def arguments(share: Path) -> list[DeclareLaunchArgument]:
    """Return every argument with its default and description."""
    flag = ['true', 'false']
    return [
        DeclareLaunchArgument(
            'pairs', description='YAML file with the pairs, see config/multi.yaml.'
        ),
        DeclareLaunchArgument(
            'model_path',
            default_value=str(share / 'models' / 'paif_small.onnx'),
            description='ONNX model of every pair whose parameters name none.',
        ),
        DeclareLaunchArgument(
            'one_process',
            default_value='false',
            choices=flag,
            description='Run all nodes in one process. Their Python code then shares one core.',
        ),
        DeclareLaunchArgument(
            'use_sim_time', default_value='false', choices=flag, description='Time from /clock.'
        ),
        DeclareLaunchArgument(
            'autostart',
            default_value='true',
            choices=flag,
            description='Configure and activate at once, unless the file says otherwise.',
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='Least severity that the nodes log.',
        ),
    ]


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return one node for each pair, or one process with all of them."""
    path = LaunchConfiguration('pairs').perform(context)
    found = pairs.load(path)  # also for one process: a wrong file is said before anything starts
    flags = ('use_sim_time', 'autostart')
    shared = {
        'model_path': LaunchConfiguration('model_path').perform(context),
        **{name: LaunchConfiguration(name).perform(context) == 'true' for name in flags},
    }
    common = {
        'package': 'paif_ros',
        'executable': 'fusion',
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
        'output': 'screen',
        'emulate_tty': sys.stdout.isatty(),  # no colours into a pipe or file
    }
    if LaunchConfiguration('one_process').perform(context) == 'true':
        return [Node(**common, arguments=['--pairs', path], parameters=[shared])]
    return [
        LifecycleNode(
            **common,
            name='fusion',
            namespace=pair.namespace,
            parameters=[{**shared, **pair.parameters}],
            remappings=list(pair.remappings),
        )
        for pair in found
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    share = Path(get_package_share_directory('paif_ros'))
    variables = profile_environment(share / 'config' / 'fastdds_shm.xml')
    return LaunchDescription(
        [
            *arguments(share),
            *(SetEnvironmentVariable(name, value) for name, value in variables.items()),
            OpaqueFunction(function=nodes),
        ]
    )
