"""Start the fusion node: `ros2 launch paif_ros fusion.launch.py`, see its `--show-args`.

With `bag:=PATH` it plays a recording to the node, with /clock, as soon as the node is active;
records what comes out; and ends two seconds after the recording.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory, get_packages_with_prefixes
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition

from paif_ros import rosbag2
from paif_ros.fastdds import profile_environment
from paif_ros.pairs import TOPICS, image_remappings
from paif_ros.registration.calibration import load
from paif_ros.ros_packages import check_packages

OUTPUTS = (  # that rviz/fusion.rviz shows
    *('fused/image', 'fused/camera_info', 'thermal/image', 'diagnostics/image'),
    *('segmentation/mask', 'segmentation/color_mask', 'segmentation/overlay'),
)


def arguments(share: Path) -> list[DeclareLaunchArgument]:
    """Return every argument with its default and description."""
    flag = ['true', 'false']
    unless_given = ['', *flag]
    return [
        DeclareLaunchArgument(
            'model_path',
            default_value='',
            description='ONNX model. Empty: that of params_file, or the shipped one.',
        ),
        DeclareLaunchArgument(
            'params_file',
            default_value=str(share / 'config' / 'fusion.yaml'),
            description='YAML file with the parameters of the node.',
        ),
        DeclareLaunchArgument(
            'namespace', default_value='', description='Namespace of the node and its topics.'
        ),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value='',
            choices=unless_given,
            description='Time from /clock, as of a bag with --clock. Empty: see params_file.',
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='Least severity that the node logs.',
        ),
        DeclareLaunchArgument(
            'color_topic', default_value='color/image_raw', description='The RGB images.'
        ),
        DeclareLaunchArgument(
            'color_info_topic',
            default_value='',
            description='The camera_info of the RGB images. Empty: beside color_topic.',
        ),
        DeclareLaunchArgument(
            'thermal_topic', default_value='thermal/image_raw', description='The thermal images.'
        ),
        DeclareLaunchArgument(
            'thermal_info_topic',
            default_value='',
            description='The camera_info of the thermal images. Empty: beside thermal_topic.',
        ),
        DeclareLaunchArgument(
            'autostart',
            default_value='',
            choices=unless_given,
            description='false: a lifecycle manager starts the node. Empty: see params_file.',
        ),
        DeclareLaunchArgument(
            'calibration',
            default_value='',
            description='Calibration YAML that registers the thermal frame. Empty: params_file.',
        ),
        DeclareLaunchArgument(
            'rviz',
            default_value='false',
            choices=flag,
            description='Also start rviz2 with inputs, outputs and diagnostics side by side.',
        ),
        DeclareLaunchArgument(
            'bag',
            default_value='',
            description='ROS 2 bag to play to the node, with /clock. Needs rosbag2.',
        ),
        DeclareLaunchArgument(
            'bag_out',
            default_value='',
            description='Folder to record the outputs into while bag plays. Empty: BAG_outputs.',
        ),
        DeclareLaunchArgument(
            'bag_rate', default_value='1.0', description='How fast bag is played, 1.0 as recorded.'
        ),
    ]


def fastdds_profile(share: Path) -> list[LaunchDescriptionEntity]:
    """Set the profile that lets images through, unless the user chose how Fast DDS talks."""
    variables = profile_environment(share / 'config' / 'fastdds_shm.xml')
    return [SetEnvironmentVariable(name, value) for name, value in variables.items()]


def parameters(context: LaunchContext) -> list[object]:
    """Return the node's parameters: params_file, and what was given on the command line."""
    path = LaunchConfiguration('params_file').perform(context)
    given: dict[str, object] = {}
    for name in ('use_sim_time', 'autostart'):
        if value := LaunchConfiguration(name).perform(context):
            given[name] = value == 'true'
    if LaunchConfiguration('bag').perform(context):
        given.setdefault('use_sim_time', True)
    model = LaunchConfiguration('model_path').perform(context)
    if model or not names_a_model(Path(path)):
        shipped = Path(get_package_share_directory('paif_ros')) / 'models' / 'paif_small.onnx'
        given['model_path'] = model or str(shipped)
    if calibration := LaunchConfiguration('calibration').perform(context):
        given.update(registration(calibration))
    return [path, *([given] if given else [])]


def names_a_model(path: Path) -> bool:
    """Whether a parameter file names a model, for whichever node."""
    sections = yaml.safe_load(path.read_text('utf-8')) or {}
    return any(
        isinstance(section, dict) and (section.get('ros__parameters') or {}).get('model_path')
        for section in sections.values()
    )


def fusion_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node, and what plays a bag to it."""
    node = LifecycleNode(
        package='paif_ros',
        executable='fusion',
        name='fusion',
        namespace=LaunchConfiguration('namespace'),
        parameters=parameters(context),
        remappings=image_remappings(topics(context)),
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
        emulate_tty=sys.stdout.isatty(),  # no colours into a pipe or file
    )
    # What can't be started is said before the node is. Handlers first: the node may be active
    # sooner than they would be registered.
    return [*replay(context, node), *viewer(context), node]


def replay(context: LaunchContext, node: LifecycleNode) -> list[LaunchDescriptionEntity]:
    """Return a recorder and a player of `bag`; nothing without one."""
    given = LaunchConfiguration('bag').perform(context)
    if not given:
        return []
    bag = rosbag2.check_bag(given)
    target = rosbag2.check_target(LaunchConfiguration('bag_out').perform(context), bag)
    rosbag2.check_installed(get_packages_with_prefixes())
    config = Path(get_package_share_directory('paif_ros')) / 'config'
    names = rosbag2.Names(LaunchConfiguration('namespace').perform(context), topics(context))
    play, record = (config / f'rosbag2_{verb}_qos.yaml' for verb in ('play', 'record'))
    rate = LaunchConfiguration('bag_rate').perform(context)
    player = ExecuteProcess(
        cmd=rosbag2.play_command(bag, rosbag2.write_overrides(play, names), names, rate),
        name='rosbag2_play',
        output='screen',
    )
    recorder = ExecuteProcess(
        cmd=rosbag2.record_command(target, rosbag2.write_overrides(record, names), record, names),
        name='rosbag2_record',
        output='screen',
    )
    end = EmitEvent(event=Shutdown(reason=f'{bag.name} has ended; outputs are in {target}'))
    return [
        recorder,
        # A player that did not wait for the network to load would play to nobody.
        RegisterEventHandler(
            OnStateTransition(target_lifecycle_node=node, goal_state='active', entities=[player])
        ),
        RegisterEventHandler(
            OnProcessExit(target_action=player, on_exit=[TimerAction(period=2.0, actions=[end])])
        ),
    ]


def viewer(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return rviz, and what draws diagnostics for it; nothing unless `rviz` asks for it."""
    if LaunchConfiguration('rviz').perform(context) != 'true':
        return []
    check_packages(
        'rviz',
        ['rviz2'],
        get_packages_with_prefixes(),
        debian=['rviz2'],
        instead='`ros2 run paif_ros view`, which shows the pictures in a browser',
    )
    layout = Path(get_package_share_directory('paif_ros')) / 'rviz' / 'fusion.rviz'
    namespace = LaunchConfiguration('namespace')
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        namespace=namespace,
        arguments=['-d', str(layout)],
        # The file names absolute topics; these lead them to the namespace and the camera.
        remappings=[
            *((f'/fusion/{output}', f'fusion/{output}') for output in OUTPUTS),
            ('/color/image_raw', LaunchConfiguration('color_topic')),
        ],
    )
    return [Node(package='paif_ros', executable='panel', namespace=namespace), rviz]


def registration(path: str) -> dict[str, str]:
    """Return the parameters for a calibration file, by what it holds."""
    mode = load(path).mode  # a wrong file is said before anything starts
    return {'registration.mode': mode, 'registration.file': str(Path(path).resolve())}


def topics(context: LaunchContext) -> dict[str, str]:
    """Return the cameras' topics as the user gave them."""
    return {name: LaunchConfiguration(name).perform(context) for name in TOPICS}


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    share = Path(get_package_share_directory('paif_ros'))
    return LaunchDescription(
        [
            *arguments(share),
            *fastdds_profile(share),
            OpaqueFunction(function=fusion_node),
        ]
    )
